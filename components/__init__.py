"""Reusable ComponentResources: each turns one part of the settings into containers, networks and volumes."""
