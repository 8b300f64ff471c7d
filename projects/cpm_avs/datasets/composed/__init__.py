"""Scenes that are composed of photographs and recordings: AVS-Stamps."""
