"""ImageNet's numbers for each class of docs/real.md in order: for MaskPooledClassifier."""

imagenet_classes = [
    [404, 895, 908],  # airplane: airliner, warplane, wing
    [*range(9, 25), *range(80, 101), *range(127, 147)],  # bird, less cock and hen
    [407, 436, 468, 511, 609, 627, 656, 661, 717, 734, 751, 817],  # car, from ambulance to sports
    [*range(281, 286)],  # cat: those of houses
    [487],  # cell phone
    [345, 346],  # cow: ox and water buffalo
    [*range(151, 269)],  # dog
    [101, 385, 386],  # elephant: tusker, Indian, African
    [402, 546],  # guitar: acoustic, electric
    [],  # helicopter: none there
    [339],  # horse: sorrel
    [],  # person: none there
    [579, 881],  # piano: grand, upright
    [7, 8],  # rooster: cock and hen
    [776],  # saxophone
    [348, 349],  # sheep: ram, bighorn
    [466, 547, 705, 820, 829],  # train, from bullet train to streetcar
]
