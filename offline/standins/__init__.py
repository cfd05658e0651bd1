"""Stand-ins for the official provider plugins, for machines that cannot download those.

Each is a ResourceProvider gRPC server with the official plugin's name and version that behaves like the official one.
"""
