// What the pages can do more with a script than without. Everything here is an
// improvement: each form and link works by itself.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => root.querySelectorAll(selector);
  const kept = form => "form " + new URL(form.action).pathname;

  // Times in the reader's own zone.
  const day = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium" });
  const moment = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  const second = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "short" });
  const dates = root => {
    for (const t of all("[data-clock]", root)) t.textContent = clock.format(new Date(t.dataset.clock));
    for (const t of all("time[data-date]", root)) t.textContent = day.format(new Date(t.dateTime));
    for (const t of all("time[data-moment]", root)) t.textContent = (t.closest(".timeline") ? second : moment).format(new Date(t.dateTime));
  };
  // Where one is can be seen in a row of tabs that is wider than the window.
  const reveal = () => {
    for (const a of all(".tabs [aria-current]")) {
      const row = a.closest(".tabs");
      row.scrollLeft = a.offsetLeft - row.offsetLeft - (row.clientWidth - a.offsetWidth) / 2;
    }
  };
  reveal();
  dates(document);
  document.body.addEventListener("htmx:afterSwap", () => { dates(document); reveal(); });

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

  // The first wrong field gets the focus.
  $("[aria-invalid=true]")?.focus();

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

  // A product file goes in parts of whole products, so that the page can tell how far it is.
  const upload = $("#import");
  if (upload) upload.addEventListener("submit", async e => {
    e.preventDefault();
    const file = upload.elements.namedItem("file").files[0];
    if (!file) return;
    const button = $("button", upload), bar = $("#bar"), far = $("#far"), report = $("#report");
    button.disabled = true;
    $("#progress").hidden = false;
    report.replaceChildren();
    const parts = await split(file);
    const sum = { created: 0, changed: 0, unchanged: 0, refused: 0 };
    let whole, problem = "";
    for (const [i, part] of parts.entries()) {
      bar.value = i / parts.length;
      far.textContent = `Part ${i + 1} of ${parts.length}; ${sum.created} created, ${sum.changed} changed, ${sum.refused} refused so far`;
      const body = new FormData(upload);
      body.set("file", new Blob([part.blob], { type: "text/csv" }), file.name);
      body.set("offset", part.offset);
      let page;
      try {
        const res = await fetch(upload.action, { method: "POST", body, headers: { "HX-Request": "true" } });
        if (!new URL(res.url).pathname.startsWith("/admin")) { location.assign("/admin/products/import?lost=1"); return; }
        page = new DOMParser().parseFromString(await res.text(), "text/html");
        if (!res.ok || !$(".part", page)) problem = $(".alert", page)?.textContent.trim() || "The import is not answering.";
      } catch {
        problem = "The back office could not be reached.";
      }
      if (problem) break;
      const got = $(".part", page);
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

  // split cuts a product file at products, about a quarter of a megabyte each, and gives every part the head. The bytes stay
  // as they are, so that the service sees which encoding they are in; UTF-16 alone becomes UTF-8. A file that cannot be cut
  // goes as a whole.
  async function split(file) {
    let bytes = new Uint8Array(await file.arrayBuffer());
    const wide = { "255,254": "utf-16le", "254,255": "utf-16be" }[bytes.subarray(0, 2)];
    if (wide) bytes = new TextEncoder().encode(new TextDecoder(wide).decode(bytes));
    const text = (from, to) => new TextDecoder("latin1").decode(bytes.subarray(from, to)).trim().replace(/^"|"$/g, "");
    const rows = [];
    let end = 10; // LF; CR when the first line ends in one alone
    for (let i = 0, from = 0, quoted = false, line = 1, at = 1; i <= bytes.length; i++) {
      const c = bytes[i];
      if (c === 34) quoted = !quoted;
      if (c === 13 && !quoted && !rows.length && bytes[i + 1] !== 10) end = 13;
      if (c === end) line++;
      if (i === bytes.length ? from < i : c === end && !quoted) {
        rows.push({ from, to: Math.min(i + 1, bytes.length), line: at });
        from = i + 1;
        at = line;
      }
    }
    const whole = [{ blob: file, offset: 0 }];
    if (rows.length < 3 || bytes.includes(0)) return whole;
    const head = bytes.subarray(0, rows[0].to);
    const cells = (row, comma) => {
      const found = [];
      let from = row.from;
      for (let i = row.from, quoted = false; i <= row.to; i++) {
        if (bytes[i] === 34) quoted = !quoted;
        if (i === row.to || bytes[i] === comma && !quoted) {
          found.push(text(from, i));
          from = i + 1;
        }
      }
      return found;
    };
    for (const comma of [44, 59, 9]) {
      const names = cells(rows[0], comma).map(n => n.replace(/^ï»¿"?/, "").toLowerCase());
      const column = Math.max(names.indexOf("handle"), names.indexOf("url handle"));
      if (column < 0) continue;
      const parts = [];
      let part, last;
      for (const row of rows.slice(1)) {
        const handle = cells(row, comma)[column];
        if (!part || part.to - part.from > 256 * 1024 && handle !== last) parts.push(part = { from: row.from, line: row.line });
        part.to = row.to;
        last = handle;
      }
      return parts.map(p => ({ blob: new Blob([head, bytes.subarray(p.from, p.to)]), offset: p.line - rows[1].line }));
    }
    return whole;
  }
})();
