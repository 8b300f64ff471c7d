"""The class-agnostic path of Fig. 2: decoder, classifiers, head."""
