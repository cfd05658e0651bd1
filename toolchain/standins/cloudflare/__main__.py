"""`python -m toolchain.standins.cloudflare`: the plugin process."""

from toolchain.standins.launch import launch

if __name__ == "__main__":
    launch("toolchain.standins.cloudflare.provider")
