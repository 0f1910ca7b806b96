package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stampede-shop/stampede/bench/load"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// load fills the databases. The apps are down meanwhile: one whose rows are
// there already would tell the others of them, and they would make their own.
func (b *bench) load(ctx context.Context) (err error) {
	services, err := b.shop.Services()
	if err != nil {
		return err
	}
	urls := map[string]string{}
	for _, a := range services {
		urls[a.ID] = b.shop.Settings.Get(a.DatabaseSetting())
	}
	if err := b.shop.PlugIn(); err != nil {
		return err
	}
	var apps []supervise.Process
	for _, a := range b.apps {
		list, err := b.shop.Processes(a, b.apps)
		if err != nil {
			return err
		}
		apps = append(apps, list[1:]...) // after its sidecar
	}
	if err := b.shop.Supervisor().Stop(ctx, false, supervise.Names(apps)...); err != nil {
		return err
	}
	begun := time.Now()
	err = load.Load(ctx, urls, load.Size{Products: b.size / 10, Orders: b.size, Ledger: 10 * b.size, Mails: b.size})
	fmt.Printf("%d orders and what belongs to them loaded in %s\n", b.size, time.Since(begun).Round(time.Second))
	for _, p := range apps {
		_, startErr := b.shop.Supervisor().Ensure(ctx, p)
		err = errors.Join(err, startErr)
	}
	if err != nil {
		return err
	}
	return b.shop.Supervisor().Await(ctx, apps, 3*time.Minute, "apps")
}
