package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stampede-shop/stampede/bench/load"
)

// load fills the databases of a shop that is up.
func (b *bench) load(ctx context.Context) error {
	services, err := b.shop.Services()
	if err != nil {
		return err
	}
	urls := map[string]string{}
	for _, a := range services {
		urls[a.ID] = b.shop.Settings.Get(a.DatabaseSetting())
	}
	begun := time.Now()
	if err := load.Load(ctx, urls, load.Size{Products: b.size / 10, Orders: b.size, Ledger: 10 * b.size, Mails: b.size}); err != nil {
		return err
	}
	fmt.Printf("%d orders and what belongs to them loaded in %s\n", b.size, time.Since(begun).Round(time.Second))
	return nil
}
