"""The rows of Tables 4 and 5: how they are run, recorded, summed up and shown."""
