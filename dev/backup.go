package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
)

const (
	backupNote     = "backup.json" // written last: a folder without it is no backup
	backupSettings = "settings.env"

	// resendFor is how long before a backup events are told again after a restore: longer than any may have waited in the
	// broker while the shop was well.
	resendFor = 15 * time.Minute
)

// backupOf is what a backup says of itself.
type backupOf struct {
	Begun  time.Time `json:"begun"`  // what was told until then may have been in the broker
	At     time.Time `json:"at"`     // when it was whole; what came later is not in it
	Offset string    `json:"offset"` // PORT_OFFSET: the settings name ports
	Data   string    `json:"data"`   // the data folder, which the settings name too
}

// backup copies the shop, while it sells, to a folder that is not there yet: backups/ and the time where none is named.
func (s *shop) backup(ctx context.Context, to string) error {
	note := backupOf{Begun: time.Now().UTC(), Offset: s.Settings.Get("PORT_OFFSET"), Data: s.Data}
	if to == "" {
		to = filepath.Join(s.Root, "backups", note.Begun.Format("20060102T150405Z"))
	}
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	if install.Exists(to) {
		return fmt.Errorf("%s is there already", to)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	settings, err := os.ReadFile(s.Settings.File)
	if err == nil {
		err = os.WriteFile(filepath.Join(to, backupSettings), settings, 0o600)
	}
	if err != nil {
		return err
	}
	if err := s.Backup(ctx, to); err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	note.At = time.Now().UTC()
	text, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, backupNote), append(text, '\n'), 0o600); err != nil {
		return err
	}
	s.Out.Say("backup", "the shop as of %s is in %s, with all its passwords: keep it from others, and on another machine",
		note.At.Format(time.RFC3339), to)
	return nil
}

// restore makes the shop of a backup where there is none, starts it, and has told again what may have been lost with the
// broker.
func (s *shop) restore(ctx context.Context, from string) error {
	text, err := os.ReadFile(filepath.Join(from, backupNote))
	if err != nil {
		return fmt.Errorf("%s is no whole backup: %w", from, err)
	}
	var note backupOf
	if err := json.Unmarshal(text, &note); err != nil {
		return fmt.Errorf("%s: %w", backupNote, err)
	}
	if here := s.Settings.Get("PORT_OFFSET"); note.Offset != here {
		return fmt.Errorf("the backup is of PORT_OFFSET=%s, and this is PORT_OFFSET=%s", note.Offset, here)
	}
	if err := s.Vacant(); err != nil {
		return err
	}
	settings, err := os.ReadFile(filepath.Join(from, backupSettings))
	if err != nil {
		return err
	}
	moved := strings.ReplaceAll(string(settings), note.Data, s.Data)
	if err := os.WriteFile(s.Settings.File, []byte(moved), 0o600); err != nil {
		return err
	}
	old, err := openShop()
	if err != nil {
		return err
	}
	old.Out = s.Out
	if err := old.place(ctx, from); err != nil {
		return errors.Join(err, old.clean(context.WithoutCancel(ctx)))
	}
	if err := old.up(ctx, false); err != nil {
		return err
	}
	told, err := old.Resend(ctx, note.Begun.Add(-resendFor))
	if err != nil {
		return err
	}
	s.Out.Say("restore", "the shop is as it was at %s: what came later is gone. %d events of the %.0f minutes before are told again",
		note.At.Format(time.RFC3339), told, resendFor.Minutes())
	return nil
}

// place installs what the shop needs and puts the backup into its folders.
func (s *shop) place(ctx context.Context, from string) error {
	unlock, err := s.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := install.Prerequisites(ctx); err != nil {
		return err
	}
	if _, err := s.Choose(); err != nil {
		return err
	}
	if err := s.PlugIn(); err != nil {
		return err
	}
	if err := s.Installer().Install(ctx); err != nil {
		return err
	}
	if err := s.Folders(); err != nil {
		return err
	}
	return s.Restore(ctx, from)
}
