"""Devices of the Fluke kernel: async tasks that plug into its device port, one device a file."""
