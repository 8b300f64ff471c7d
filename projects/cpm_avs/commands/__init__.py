"""The commands of ``cpm-avs``: each file has ``main``; ``cpm_avs_cli.py`` has their table."""
