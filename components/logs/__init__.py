"""The log collector and the log stores: Loki, or VictoriaLogs."""
