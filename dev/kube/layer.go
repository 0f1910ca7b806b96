package kube

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// layer is files of an image: a tar, and its SHA-256 in hexadecimal digits.
type layer struct{ file, digest string }

// image is what a container starts from.
type image struct {
	name       string // with its tag
	layers     []layer
	user       string // uid:gid
	env        []string
	entrypoint []string
	command    []string
	stop       string // the signal that ends it well; "" is SIGTERM
}

// root owns what has no other owner.
var root = [2]int{0, 0}

// tree writes files into a layer. The first error ends it: what follows does nothing. The same files give the same layer:
// no file has a time.
type tree struct {
	w   *tar.Writer
	err error
}

// writeLayer makes a layer of what fill puts into it.
func writeLayer(file string, fill func(t *tree)) (layer, error) {
	f, err := os.Create(file)
	if err != nil {
		return layer{}, err
	}
	defer f.Close()
	sum := sha256.New()
	t := &tree{w: tar.NewWriter(io.MultiWriter(f, sum))}
	fill(t)
	if err := errors.Join(t.err, t.w.Close(), f.Close()); err != nil {
		return layer{}, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return layer{file: file, digest: hex.EncodeToString(sum.Sum(nil))}, nil
}

func (t *tree) header(h tar.Header, mode fs.FileMode, owner [2]int) {
	if t.err != nil {
		return
	}
	h.Name, h.Mode, h.Uid, h.Gid = strings.TrimPrefix(h.Name, "/"), int64(mode.Perm()), owner[0], owner[1]
	if mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	t.err = t.w.WriteHeader(&h)
}

// dir makes a folder, with its mode even when a layer below has it.
func (t *tree) dir(name string, mode fs.FileMode, owner [2]int) {
	t.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/"}, mode, owner)
}

// text makes a file.
func (t *tree) text(name, text string) {
	t.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text))}, 0o644, root)
	if t.err == nil {
		_, t.err = io.WriteString(t.w, text)
	}
}

// copy puts a file, a folder with all below it, or what a link leads to, to where name says. All may do with a file what mode
// says, besides what they may here.
func (t *tree) copy(from, name string, mode fs.FileMode, owner [2]int) {
	if t.err != nil {
		return
	}
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		t.err = err
		return
	}
	t.err = filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		at := path.Join(name, filepath.ToSlash(below))
		switch {
		case d.IsDir():
			t.header(tar.Header{Typeflag: tar.TypeDir, Name: at + "/"}, 0o755, owner)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(file)
			if err != nil {
				return err
			}
			t.header(tar.Header{Typeflag: tar.TypeSymlink, Name: at, Linkname: to}, 0o777, owner)
		case d.Type().IsRegular():
			t.header(tar.Header{Typeflag: tar.TypeReg, Name: at, Size: info.Size()}, info.Mode()|mode, owner)
			if t.err == nil {
				t.err = t.content(file)
			}
		}
		return t.err
	})
}

func (t *tree) content(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t.w, f)
	return err
}

// config is an image's configuration, as in the image specification of Docker and of the Open Container Initiative.
func (i image) config() []byte {
	ids := make([]string, 0, len(i.layers))
	for _, l := range i.layers {
		ids = append(ids, "sha256:"+l.digest)
	}
	text, _ := json.Marshal(map[string]any{ // strings alone: it cannot fail
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"User": i.user, "Env": i.env, "Entrypoint": i.entrypoint, "Cmd": i.command, "StopSignal": i.stop},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	return text
}

// digest changes with everything in the image.
func (i image) digest() string {
	sum := sha256.Sum256(i.config())
	return hex.EncodeToString(sum[:])
}

// writeArchive writes images as `docker save` does: each layer once, each image's configuration, and a list of them.
func writeArchive(w io.Writer, images []image) error {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	t := &tree{w: tar.NewWriter(w)}
	var list []entry
	written := map[string]bool{}
	for _, i := range images {
		e := entry{Config: i.digest() + ".json", RepoTags: []string{i.name}}
		for _, l := range i.layers {
			at := l.digest + "/layer.tar"
			e.Layers = append(e.Layers, at)
			if !written[at] {
				written[at] = true
				t.copy(l.file, at, 0, root)
			}
		}
		if !written[e.Config] { // two names of one image
			written[e.Config] = true
			t.text(e.Config, string(i.config()))
		}
		list = append(list, e)
	}
	manifest, err := json.Marshal(list)
	if err != nil {
		return err
	}
	t.text("manifest.json", string(manifest))
	return errors.Join(t.err, t.w.Close())
}
