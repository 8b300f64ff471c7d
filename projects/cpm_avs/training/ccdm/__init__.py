"""Class-conditional distribution modelling: the bank and EM (eq. 3-4, Sec. 3.2.1)."""
