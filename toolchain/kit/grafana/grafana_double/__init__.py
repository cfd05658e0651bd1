"""A double of Grafana: loads, checks and queries what Grafana would, and says on every page that it is a double.

It is started by `python -m grafana_double`. What it does and does not do stands in the README beside this package.
"""

VERSION = "12.1.1-double"
"""The Grafana release whose behaviour it follows."""

NOTICE = "This is a double of Grafana, for machines that cannot have Grafana itself."
