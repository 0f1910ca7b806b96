package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
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

	Archive string `json:"archive,omitempty"` // the folder in WAL_ARCHIVE that goes on from here
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
	if note.Archive, err = s.Archive(); err != nil {
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

// readNote reads what a backup says of itself.
func readNote(from string) (note backupOf, err error) {
	text, err := os.ReadFile(filepath.Join(from, backupNote))
	if err != nil {
		return note, fmt.Errorf("%s is no whole backup: %w", from, err)
	}
	if err := json.Unmarshal(text, &note); err != nil {
		return note, fmt.Errorf("%s: %w", backupNote, err)
	}
	return note, nil
}

// untilLatest is as far as the archive goes.
const untilLatest = "latest"

// until is how far beyond a backup a restore is to go by the text of UNTIL: nil, not at all, without one.
func (b backupOf) until(text, archives string) (*infra.Until, error) {
	if text == "" {
		return nil, nil
	}
	if b.Archive == "" {
		return nil, errors.New("UNTIL needs a backup that was made while there was a WAL_ARCHIVE")
	}
	until := infra.Until{Archive: filepath.Join(archives, b.Archive)}
	if text == untilLatest {
		return &until, nil
	}
	var err error
	if until.At, err = time.Parse(time.RFC3339, text); err != nil {
		return nil, fmt.Errorf("UNTIL is %s or a time such as 2026-11-29T12:00:00Z, not %q", untilLatest, text)
	}
	if until.At.Before(b.At) {
		return nil, fmt.Errorf("UNTIL is before the backup was whole, %s: take an earlier one", b.At.Format(time.RFC3339))
	}
	return &until, nil
}

// restore makes the shop of a backup where there is none, as it was then or, with an archive of WAL, until a later moment. It
// starts it, and has told again what may have been lost with the broker.
func (s *shop) restore(ctx context.Context, from, until string) error {
	note, err := readNote(from)
	if err != nil {
		return err
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
	beyond, err := note.until(until, cmp.Or(os.Getenv("WAL_ARCHIVE"), old.Settings.Get("WAL_ARCHIVE")))
	if err != nil {
		return errors.Join(err, old.clean(context.WithoutCancel(ctx)))
	}
	last, err := old.place(ctx, from, beyond)
	if err != nil {
		return errors.Join(err, old.clean(context.WithoutCancel(ctx)))
	}
	if err := old.up(ctx, false); err != nil {
		return err
	}
	as, begun := note.At, note.Begun
	if !last.IsZero() {
		as, begun = last, last
	}
	told, err := old.Resend(ctx, begun.Add(-resendFor))
	if err != nil {
		return err
	}
	if err := old.sayLost(ctx); err != nil {
		return err
	}
	s.Out.Say("restore", "the shop is as it was at %s: what came later is gone. %d events of the %.0f minutes before are told again",
		as.UTC().Format(time.RFC3339), told, resendFor.Minutes())
	if beyond != nil {
		s.Out.Say("restore", "carts and logins are as of %s, when they were copied", note.Begun.Format(time.RFC3339))
	}
	return nil
}

// sayLost names the products whose pictures came after the backup.
func (s *shop) sayLost(ctx context.Context) error {
	lost, err := s.LostPictures(ctx)
	if err != nil || len(lost) == 0 {
		return err
	}
	s.Out.Say("restore", "%d pictures are lost, to be uploaded again, of %s",
		len(lost), progress.List(slices.Compact(slices.Sorted(maps.Values(lost)))))
	return nil
}

// prune removes from the archive of WAL what only backups older than one need.
func (s *shop) prune(ctx context.Context, oldest string) error {
	note, err := readNote(oldest)
	if err != nil {
		return err
	}
	if note.Archive == "" {
		return errors.New("that backup was made while there was no WAL_ARCHIVE")
	}
	if err := s.PruneArchive(ctx, oldest, note.Archive); err != nil {
		return err
	}
	s.Out.Say("prune", "the archive begins with the backup of %s now", note.At.Format(time.RFC3339))
	return nil
}

// place installs what the shop needs and puts the backup into its folders.
func (s *shop) place(ctx context.Context, from string, until *infra.Until) (last time.Time, err error) {
	unlock, err := s.Lock()
	if err != nil {
		return last, err
	}
	defer unlock()
	if err := install.Prerequisites(ctx); err != nil {
		return last, err
	}
	if _, err := s.Choose(); err != nil {
		return last, err
	}
	if err := s.PlugIn(); err != nil {
		return last, err
	}
	if err := s.Installer().Install(ctx); err != nil {
		return last, err
	}
	if err := s.Folders(); err != nil {
		return last, err
	}
	return s.Restore(ctx, from, until)
}
