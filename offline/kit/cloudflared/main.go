// Command cloudflared is the image kit's double of cloudflared: it runs, is asked and stops as the official program
// does, and reaches nothing of Cloudflare. Where a tunnel's token names an endpoint, that plays Cloudflare, and the
// double plays the edge. See README.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// version is the release that this stands for; the build sets it.
var version = "DEV"

const built = "by Dockyard's image kit: a double"

// usageError ends the program with 255 and a hint, as the official one's does; any other error with 1.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	err := command(os.Args[1:])
	if usage := usageError(""); errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "%s\nSee 'cloudflared tunnel run --help'.\n", usage)
		os.Exit(255)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options are what may stand before and after `tunnel`.
type options struct {
	metrics string
	grace   time.Duration
}

// parse reads the flags that the double knows and returns what follows them. What the official program has beside
// them is refused, not passed over.
func (o *options) parse(args []string, more func(*flag.FlagSet)) ([]string, error) {
	flags := flag.NewFlagSet("cloudflared", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.metrics, "metrics", o.metrics, "")
	flags.DurationVar(&o.grace, "grace-period", o.grace, "")
	flags.Bool("no-autoupdate", false, "")
	if more != nil {
		more(flags)
	}
	err := flags.Parse(args)
	return append(flags.Args(), ""), err
}

func command(args []string) error {
	given, asked := options{metrics: os.Getenv("TUNNEL_METRICS")}, false
	var err error
	if given.grace, err = time.ParseDuration(fromEnvironment("TUNNEL_GRACE_PERIOD", "30s")); err != nil {
		return err
	}
	rest, err := given.parse(args, func(flags *flag.FlagSet) {
		for _, name := range []string{"version", "v", "V"} {
			flags.BoolVar(&asked, name, false, "")
		}
	})
	switch {
	case err != nil:
		return err
	case rest[0] == "version" && (rest[1] == "--short" || rest[1] == "-s"):
		fmt.Println(version)
		return nil
	case asked || rest[0] == "version":
		fmt.Printf("cloudflared version %s (built %s)\n", version, built)
		return nil
	case rest[0] != "tunnel":
		return fmt.Errorf("the double of cloudflared has no command %q, only version and tunnel", rest[0])
	}
	if rest, err = given.parse(rest[1:len(rest)-1], nil); err != nil {
		return err
	}
	switch rest[0] {
	case "ready":
		return ready(given.metrics)
	case "run":
		token, err := tokenOf(rest[1 : len(rest)-1])
		if err != nil {
			return err
		}
		return run(given, token)
	case "":
		return errors.New("You did not specify any valid additional argument to the cloudflared tunnel command.")
	}
	return fmt.Errorf("the double of cloudflared has no command tunnel %q, only run and ready", rest[0])
}

func fromEnvironment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// ready asks a running tunnel at its metrics address whether it is connected.
func ready(address string) error {
	if address == "" {
		return errors.New("--metrics has to be provided")
	}
	url := fmt.Sprintf("http://%s/ready", address)
	answer, err := http.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s endpoint returned status code %d\n%s", url, answer.StatusCode, body)
	}
	return nil
}
