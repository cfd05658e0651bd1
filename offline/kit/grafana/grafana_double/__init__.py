"""A double of Grafana: loads, checks and queries what Grafana would, and says on every page that it is a double.

Start it with `python -m grafana_double`. The README beside this package lists what it does and does not do.
"""

VERSION = "12.1.1-double"
"""The Grafana release whose behaviour the double imitates."""

NOTICE = "This is a double of Grafana, for machines that cannot have Grafana itself."
