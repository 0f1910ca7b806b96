// Command write makes a kong.yml for other addresses and limits than the deployment's; its flags are in deploy/kong. It
// runs in the clone's root: go run ./deploy/kong/write -h
package main

import (
	"log"
	"os"

	"github.com/stampede-shop/stampede/deploy/kong"
)

func main() {
	settings, out, err := kong.Flags(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	if err := run(settings, out); err != nil {
		log.Fatal(err)
	}
}

func run(settings kong.Settings, out string) error {
	list, err := os.ReadFile("deploy/routes.yaml")
	if err != nil {
		return err
	}
	conf, err := kong.Generate(list, settings)
	if err != nil {
		return err
	}
	if out == "" {
		_, err = os.Stdout.Write(conf)
		return err
	}
	return os.WriteFile(out, conf, 0o644)
}
