"""Runs Dockyard on a machine: its folders, locks, ports, processes and progress output."""
