package main

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Elements that begin and end a line and that a description does not keep: a break does instead.
var blocks = map[atom.Atom]bool{
	atom.Address: true, atom.Article: true, atom.Aside: true, atom.Center: true, atom.Details: true, atom.Dialog: true, atom.Div: true,
	atom.Fieldset: true, atom.Figcaption: true, atom.Figure: true, atom.Footer: true, atom.Form: true, atom.Header: true,
	atom.Hgroup: true, atom.Legend: true, atom.Main: true, atom.Nav: true, atom.Section: true, atom.Summary: true,
}

// Elements that are kept and begin and end a line themselves.
var lineEnds = map[atom.Atom]bool{
	atom.P: true, atom.Br: true, atom.Hr: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Ul: true,
	atom.Ol: true, atom.Li: true, atom.Dl: true, atom.Dt: true, atom.Dd: true, atom.Blockquote: true, atom.Pre: true, atom.Table: true,
	atom.Caption: true, atom.Thead: true, atom.Tbody: true, atom.Tfoot: true, atom.Tr: true, atom.Th: true, atom.Td: true,
}

// Elements whose text nobody sees.
var unseenText = map[atom.Atom]bool{
	atom.Iframe: true, atom.Noscript: true, atom.Script: true, atom.Style: true, atom.Textarea: true, atom.Title: true,
}

// apart keeps the words of block elements apart that will be taken away: <div>one</div><div>two</div> is one<br>two. A
// heading of the first rank becomes one of the second. Everything else stays as it is; nothing here makes HTML safe.
func apart(s string) string {
	var out strings.Builder
	written, due := false, false // something stands in the line; the line is to end before more does
	unseen := false              // what follows is no text of the page
	for z := html.NewTokenizer(strings.NewReader(s)); ; {
		kind := z.Next()
		raw, text := string(z.Raw()), kind == html.TextToken && !unseen
		unseen = false
		switch {
		case kind == html.ErrorToken:
			out.WriteString(raw) // what an end in the middle of a tag leaves
			return out.String()
		case kind == html.StartTagToken || kind == html.EndTagToken || kind == html.SelfClosingTagToken:
			name, _ := z.TagName()
			tag := atom.Lookup(name)
			switch {
			case tag == atom.H1:
				raw = map[bool]string{true: "</h2>", false: "<h2>"}[kind == html.EndTagToken]
				written, due = false, false
			case blocks[tag]:
				due = written
				continue
			case lineEnds[tag]:
				written, due = false, false
			case unseenText[tag]:
				unseen = kind == html.StartTagToken
			case due && kind == html.StartTagToken:
				out.WriteString("<br>")
				written, due = false, false
			}
		case text && strings.TrimSpace(raw) != "":
			if due {
				out.WriteString("<br>")
			}
			written, due = true, false
		}
		out.WriteString(raw)
	}
}
