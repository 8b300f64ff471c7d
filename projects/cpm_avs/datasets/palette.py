"""PASCAL VOC's colours of class indices."""


def voc_colour(index: int) -> tuple[int, int, int]:
    """RGB colour of a class: the PASCAL VOC rule.

    Bits 0, 1 and 2 of the i-th group of three bits of ``index`` become bit 7 - i of R, G and B.

    >>> voc_colour(14)
    (64, 128, 128)
    """
    colour = [0, 0, 0]
    for bit in range(8):
        if index >> bit & 1:
            colour[bit % 3] |= 1 << 7 - bit // 3
    return colour[0], colour[1], colour[2]


def voc_palette(num_classes: int) -> list[list[int]]:
    """RGB colours of classes 0 to ``num_classes`` - 1, the form of mmseg's metainfo."""
    return [list(voc_colour(index)) for index in range(num_classes)]
