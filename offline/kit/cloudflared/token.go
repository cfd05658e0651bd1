package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
)

// tunnelToken is what a tunnel's token says, in the official format.
type tunnelToken struct {
	Account string    `json:"a"`
	Secret  []byte    `json:"s"`
	Tunnel  uuid.UUID `json:"t"`
	// Endpoint is, for the double, the address of what plays Cloudflare's API.
	Endpoint string `json:"e"`
}

// tokenOf finds the token: `--token` before TUNNEL_TOKEN before a file, `--token-file` before TUNNEL_TOKEN_FILE.
func tokenOf(args []string) (token tunnelToken, err error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	text := flags.String("token", os.Getenv("TUNNEL_TOKEN"), "")
	file := flags.String("token-file", os.Getenv("TUNNEL_TOKEN_FILE"), "")
	if err := flags.Parse(args); err != nil {
		return token, err
	}
	if *text == "" && *file != "" {
		content, err := os.ReadFile(*file)
		if err != nil {
			return token, usageError("Failed to read token file: " + err.Error())
		}
		*text = strings.TrimSpace(string(content))
	}
	if *text == "" {
		return token, usageError(`"cloudflared tunnel run" requires the ID or name of the tunnel to run as the last ` +
			"command line argument or in the configuration file. (The double runs a tunnel by its token alone.)")
	}
	content, err := base64.StdEncoding.DecodeString(*text)
	if err != nil || json.Unmarshal(content, &token) != nil {
		return token, usageError("Provided Tunnel token is not valid.")
	}
	return token, nil
}
