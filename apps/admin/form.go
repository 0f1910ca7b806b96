package main

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// field is a field of a form.
type field struct {
	Name, Label, Value, Hint, Wrong string
	Type                            string // of the input; "textarea", "select", "checkbox" besides
	Options                         []option
	Required, Fixed                 bool // Fixed: to read, not to change
	Max                             int  // characters
	Min, Most, Step                 string
	Mode                            string // inputmode
	ID                              string // when the name is there more than once
}

// At is the field's id in the page.
func (f field) At() string {
	if f.ID != "" {
		return f.ID
	}
	return "f-" + strings.NewReplacer(".", "-", " ", "-").Replace(f.Name)
}

type option struct {
	Value, Label string
	On           bool
}

// chosen are the options of which value is the one that is on.
func chosen(options []option, value string) []option {
	options = slices.Clone(options)
	for i := range options {
		options[i].On = options[i].Value == value
	}
	return options
}

// form is the Data of the page "form", and what other pages show of theirs.
type form struct {
	Heading string
	Text    []string // what will happen, a paragraph each
	Facts   []fact
	Fields  []field
	Action  string // without the mark of having been sent
	Key     string // idempotency key
	Button  string
	Danger  bool
	Back    string
	BackTo  string // the name of Back
	Problem string // over the fields
	Detail  string
	Crumbs  []crumb
	Status  int
}

type fact struct{ Name, Value string }

// crumb leads back up.
type crumb struct{ Name, Href string }

// newKey makes an idempotency key. It travels in the form, so that the same
// form sent twice does its work once.
func newKey() string { return uuid.Must(uuid.NewV7()).String() }

// fill puts what was sent back into the fields.
func (f *form) fill(sent url.Values) {
	for i := range f.Fields {
		at := &f.Fields[i]
		if !sent.Has(at.Name) && at.Type != "checkbox" {
			continue
		}
		at.Value = sent.Get(at.Name)
		at.Options = chosen(at.Options, at.Value)
	}
	if key := sent.Get("key"); key != "" {
		f.Key = key
	}
}

// refuse tells in the form what a service said, beside the fields where they
// are known. It reports whether it could.
func (f *form) refuse(err error, names ...string) bool {
	var known *problem.Error
	if !errors.As(err, &known) {
		return false
	}
	f.Status = rest.StatusOf(known)
	rename := map[string]string{}
	for i := 0; i+1 < len(names); i += 2 {
		rename[names[i]] = names[i+1]
	}
	f.Problem, f.Detail = plain(known)
	var rest []string
	placed := false
	for _, wrong := range known.Fields() {
		at := strings.TrimPrefix(wrong.Location, "body.")
		if to, ok := rename[at]; ok {
			at = to
		} else if head, _, ok := strings.Cut(at, "."); ok && f.field(at) == nil {
			at = head
		}
		if one := f.field(at); one != nil {
			one.Wrong, placed = sentence(wordsAbout(wrong, one)), true
			continue
		}
		if at == "" || at == "body" {
			rest = append(rest, sentence(wordsAbout(wrong, nil)))
			continue
		}
		rest = append(rest, at+": "+wordsAbout(wrong, nil))
	}
	if one := f.field("slug"); one != nil && known.Slug() == "slug-taken" {
		one.Wrong, placed = "Another one has this address.", true
	}
	if placed && len(rest) == 0 {
		f.Problem, f.Detail = "Please look at the fields marked below.", ""
	} else if len(rest) > 0 {
		f.Detail = strings.Join(rest, "; ")
	}
	return true
}

func (f *form) field(name string) *field {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// plain tells a problem to people.
func plain(p *problem.Error) (title, detail string) {
	if p.Ours() {
		return "The service did not answer.", "Nothing you typed is lost. It may or may not have been done: sending the same form again is safe."
	}
	if p.Slug() == problem.ErrInvalid.Slug() {
		return "Something in it is not right.", sentence(p.Explanation())
	}
	return sentence(p.Title()), sentence(p.Explanation())
}

// sentence makes a service's words a sentence.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// show is a page of a form alone.
func (f form) show() page.Answer {
	return page.Show("form", page.View{Title: f.Heading, Status: f.Status, Data: f})
}

// answer is the form again with what was wrong, or the error itself when no
// form can tell it.
func (f form) answer(sent url.Values, err error, names ...string) (page.Answer, error) {
	f.fill(sent)
	if !f.refuse(err, names...) {
		return nil, err
	}
	return f.show(), nil
}

// filled is the form with what was sent in another one.
func (f form) filled(sent url.Values) form {
	f.fill(sent)
	return f
}

// to is the answer of a form that did its work: on to another page, which says
// what was done.
func to(at, did string) page.Answer { return page.Redirect(with(at, "done", did)) }
