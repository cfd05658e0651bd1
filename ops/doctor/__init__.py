"""The verb `doctor`: whether machine, engine, settings and containers are as they should be."""
