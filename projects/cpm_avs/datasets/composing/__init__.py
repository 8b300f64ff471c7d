"""From what a user has, photographs and recordings, to the files of a composed set."""
