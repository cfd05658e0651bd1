"""`python -m offline.standins.cloudflare`: the plugin process."""

from offline.standins.launch import launch

if __name__ == "__main__":
    launch("offline.standins.cloudflare.provider")
