"""Stand-ins for the official provider plugins, for machines that cannot download those.

Each is a ResourceProvider gRPC server under the official plugin's name and version that answers as the
official one does. Nothing outside `toolchain/` knows that they exist.
"""
