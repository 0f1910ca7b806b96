// What the pages can do more with a script than without. Everything here is an
// improvement: each form and link works by itself.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => root.querySelectorAll(selector);
  const kept = form => "form " + new URL(form.action).pathname;

  // Where one is can be seen in a row of tabs that is wider than the window.
  const reveal = () => {
    for (const a of all(".tabs [aria-current]")) {
      const row = a.closest(".tabs");
      row.scrollLeft = a.offsetLeft - row.offsetLeft - (row.clientWidth - a.offsetWidth) / 2;
    }
  };
  reveal();
  document.body.addEventListener("htmx:afterSwap", reveal);

  // A fetched part that is no part of the back office is the login page: go there as a whole. What a list's page says
  // instead of rows is shown like rows; any other failure of a list is shown as a whole page. A dashboard that could not
  // be refreshed says so.
  let focused = null;
  document.body.addEventListener("htmx:beforeSwap", e => {
    const { xhr, target } = e.detail, at = new URL(xhr.responseURL || location.href);
    if (!at.pathname.startsWith("/admin")) {
      e.preventDefault();
      location.reload();
      return;
    }
    focused = target.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    if (xhr.status < 400) return;
    if (target.id === "board") {
      target.classList.add("stale");
    } else if (xhr.responseText.includes(`id="${target.id}"`)) {
      e.detail.shouldSwap = true;
      e.detail.isError = false;
    } else {
      location.assign(at);
    }
  });
  document.body.addEventListener("htmx:sendError", () => $("#board")?.classList.add("stale"));
  document.body.addEventListener("htmx:afterSettle", () => {
    if (focused && document.activeElement === document.body) $(`#board a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  });

  // What was typed is kept until it has arrived, so that an ended login loses nothing.
  const lost = $("[data-lost]");
  for (const form of all("form[method=post]")) {
    if (lost) {
      for (const [name, value] of JSON.parse(sessionStorage.getItem(kept(form)) || "[]")) {
        const at = form.elements.namedItem(name);
        if (!at || at instanceof RadioNodeList || ["hidden", "file"].includes(at.type)) continue;
        if (at.type === "checkbox") at.checked = true;
        else at.value = value;
      }
    }
    sessionStorage.removeItem(kept(form));
    form.addEventListener("submit", () => {
      const typed = [...new FormData(form)].filter(([name, value]) => name !== "token" && typeof value === "string");
      sessionStorage.setItem(kept(form), JSON.stringify(typed));
    });
  }

  // What a page has said once is not said again when it is loaded again.
  const here = new URL(location.href);
  if (["done", "sent", "lost"].some(name => here.searchParams.has(name))) {
    for (const name of ["done", "sent", "lost"]) here.searchParams.delete(name);
    history.replaceState(history.state, "", here);
  }

  // A form is sent once.
  const ready = form => { for (const b of all("button", form)) b.disabled = false; };
  document.addEventListener("submit", e => {
    if (e.defaultPrevented || !e.target.matches("[data-once]")) return;
    changed.delete(e.target);
    if (changed.size) {
      if (!confirm("What you changed in the form is not saved and would be lost. Go on?")) { e.preventDefault(); return; }
      changed.clear();
    }
    setTimeout(() => { for (const b of all("button:not([type=button])", e.target)) b.disabled = true; });
  });
  window.addEventListener("pageshow", e => { if (e.persisted) for (const form of all("form")) ready(form); });

  // Leaving a form with changes asks first.
  const changed = new Set();
  for (const form of all("form[data-warn]")) {
    if ("unsaved" in form.dataset) changed.add(form);
    form.addEventListener("input", () => changed.add(form));
  }
  window.addEventListener("beforeunload", e => { if (changed.size) e.preventDefault(); });

  // The first wrong field gets the focus, in the middle of whatever scrolls around it.
  const wrong = $("[aria-invalid=true]");
  wrong?.focus({ preventScroll: true });
  wrong?.scrollIntoView({ block: "center", inline: "center" });

  // The menu closes when something else is wanted.
  document.addEventListener("click", e => { for (const m of all("details.menu[open]")) if (!m.contains(e.target)) m.open = false; });
  document.addEventListener("keydown", e => {
    if (e.key === "Escape") for (const m of all("details.menu[open]")) { m.open = false; $("summary", m).focus(); }
    if (e.key === "/" && !e.target.closest("input, textarea, select")) { const q = $(".filters input[type=search]"); if (q) { e.preventDefault(); q.focus(); q.select(); } }
  });

  // A search has run when its field is left: running it once more would take the row away from under the pointer.
  document.addEventListener("change", e => { if (e.target.matches(".filters input[type=search]")) e.stopPropagation(); }, true);

  // Pictures are shown before they are sent.
  for (const input of all("input[data-preview]")) input.addEventListener("change", () => {
    const box = document.getElementById(input.dataset.preview);
    box.replaceChildren();
    for (const file of input.files) {
      const img = new Image(), reader = new FileReader();
      img.alt = `${file.name}, ${Math.ceil(file.size / 1024)} kB`;
      box.append(img);
      reader.onload = () => { img.src = reader.result; };
      reader.readAsDataURL(file);
    }
  });

  // A file goes in parts of whole products (customers, orders), so that the page can tell how far it is.
  const upload = $("#import");
  if (upload) upload.addEventListener("submit", async e => {
    e.preventDefault();
    const file = upload.elements.namedItem("file").files[0];
    if (!file) return;
    const button = $("button", upload), bar = $("#bar"), far = $("#far"), report = $("#report");
    button.disabled = true;
    $("#progress").hidden = false;
    report.replaceChildren();
    const sum = { created: 0, changed: 0, unchanged: 0, refused: 0 };
    const parts = split(file, upload.dataset.group.split(","));
    let whole, problem = "", number = 0;
    for (;;) {
      const { value: part, done, lost } = await parts.next().catch(e => ({ lost: e.message }));
      if (lost) problem = lost;
      if (lost || done) break;
      bar.value = part.before;
      far.textContent = `Part ${++number}, ${Math.floor(100 * part.before)} % of the file; `
        + `${sum.created} created, ${sum.changed} changed, ${sum.refused} refused so far`;
      const body = new FormData(upload);
      body.set("file", new Blob([part.blob], { type: "text/csv" }), file.name);
      body.set("offset", part.offset);
      let page;
      try {
        const res = await fetch(upload.action, { method: "POST", body, headers: { "HX-Request": "true" } });
        if (!new URL(res.url).pathname.startsWith("/admin")) { location.assign(`${upload.action}?lost=1`); return; }
        page = new DOMParser().parseFromString(await res.text(), "text/html");
        if (!res.ok || !$(".part", page)) problem = $(".alert", page)?.textContent.trim() || "The import is not answering.";
      } catch {
        problem = "The back office could not be reached.";
      }
      if (problem) break;
      const got = $(".part", page), left = $("#waiting", page);
      if (left) $("#waiting").replaceWith(document.importNode(left, true));
      for (const k in sum) sum[k] += Number(got.dataset[k]);
      if (!whole) { whole = document.importNode(got, true); report.append(whole); }
      else { // of a long file what is worth reading: a page holds so many rows
        const tell = $("tbody", whole), had = tell?.rows.length;
        tell?.append(...[...all("tbody tr", got)].filter(tr => had < 1000 || had < 5000 && tr.matches(".refused, .noted")));
        if (had >= 1000) $(".more", whole).hidden = false;
      }
      [...all(".figures dd", whole)].forEach((dd, n) => { dd.textContent = Object.values(sum)[n]; });
      $(".figures div:last-child", whole).classList.toggle("bad", sum.refused > 0);
      if (got.dataset.stopped) { problem = got.dataset.stopped; break; }
    }
    if (!problem) bar.value = 1;
    far.textContent = problem
      ? `It stopped: ${problem.replace(/\s+/g, " ")}${whole ? " What was taken stays; import the same file again to go on." : ""}`
      : `Done: ${sum.created} created, ${sum.changed} changed, ${sum.unchanged} unchanged, ${sum.refused} refused`;
    button.disabled = false;
  });

  // split cuts a file between rows that differ in a column, which has one of some names, about a quarter of a megabyte each,
  // and gives every part the head, the number of lines before it, and how much of the file that was. It reads as it goes: no more than a few megabytes of the file are in
  // memory. The bytes stay as they are, so that the service sees which encoding they are in; UTF-16 alone becomes UTF-8. A
  // file that cannot be cut goes as a whole.
  async function* split(file, group) {
    const latin = new TextDecoder("latin1");
    // cell is one of a row's cells, all of them without an index.
    const cells = (bytes, comma, only) => {
      const found = [];
      for (let i = 0, from = 0, n = 0, quoted = false; i <= bytes.length; i++) {
        if (bytes[i] === 34) quoted = !quoted;
        if (i < bytes.length && (bytes[i] !== comma || quoted)) continue;
        if (only === undefined || only === n) found.push(latin.decode(bytes.subarray(from, i)).trim().replace(/^"|"$/g, ""));
        if (only === n++) break;
        from = i + 1;
      }
      return found;
    };
    let head, comma, column, begin, part = [], size = 0, before = 0, line, last;
    const cut = () => ({ blob: new Blob([head, ...part]), offset: line - begin, before: Math.min(0.99, before / file.size) });
    for await (const row of rows(file)) {
      if (!head) {
        head = row.bytes.slice();
        for (comma of [44, 59, 9]) {
          const names = cells(head, comma).map(n => n.replace(/^ï»¿"?/, "").toLowerCase());
          column = Math.max(...group.map(n => names.indexOf(n)));
          if (column >= 0) break;
        }
        if (column < 0 || head.includes(0)) break;
        continue;
      }
      begin ??= row.line;
      const [handle] = cells(row.bytes, comma, column);
      if (size > 256 * 1024 && handle !== last) {
        yield cut();
        before += size;
        part = [];
        size = 0;
      }
      if (!part.length) line = row.line;
      part.push(row.bytes);
      size += row.bytes.length;
      last = handle;
    }
    yield part.length ? cut() : { blob: file, offset: 0, before: 0 };
  }

  // rows are those of a CSV file, each with its bytes, line end included, and the line that it begins in.
  async function* rows(file) {
    let rest = new Uint8Array(0), quoted = false, end = 0, line = 1, at = 1;
    for await (const piece of pieces(file)) {
      const bytes = new Uint8Array(rest.length + piece.length);
      bytes.set(rest);
      bytes.set(piece, rest.length);
      let from = 0;
      for (let i = rest.length; i < bytes.length; i++) {
        const c = bytes[i];
        if (c === 34) quoted = !quoted;
        if (!end && !quoted && (c === 10 || c === 13)) end = c === 13 && bytes[i + 1] !== 10 ? 13 : 10; // CR alone ends lines, or LF does
        if (c !== (end || 10)) continue;
        line++;
        if (quoted) continue;
        yield { bytes: bytes.subarray(from, i + 1), line: at };
        from = i + 1;
        at = line;
      }
      rest = bytes.subarray(from);
      if (rest.length > 4 << 20) throw new Error(`The row that begins in line ${at} does not end. Perhaps a quote is not closed.`);
    }
    if (rest.length) yield { bytes: rest, line: at };
  }

  // pieces are the bytes of a file, a megabyte at a time.
  async function* pieces(file) {
    const much = 1 << 20;
    let decoder;
    for (let at = 0; at < file.size; at += much) {
      const bytes = new Uint8Array(await file.slice(at, at + much).arrayBuffer());
      const wide = at === 0 && { "255,254": "utf-16le", "254,255": "utf-16be" }[bytes.subarray(0, 2)];
      if (wide) decoder = new TextDecoder(wide);
      yield decoder ? new TextEncoder().encode(decoder.decode(bytes, { stream: at + much < file.size })) : bytes;
    }
  }
})();
