// The page at /api/docs: it reads /api/openapi.json, shows every operation and
// sends requests. No library; nothing is loaded from elsewhere, and the
// Content-Security-Policy of the page allows no inline script or style.

const methods = ["get", "post", "put", "patch", "delete", "head"];
const $ = (id) => document.getElementById(id);
const store = sessionStorage; // gone with the tab

/** h makes an element. Functions among the attributes are event handlers. */
function h(tag, attrs = {}, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") el.addEventListener(key, value);
    else el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...children.flat().filter((c) => c !== undefined && c !== null && c !== false));
  return el;
}

let api = {};

/** resolve follows a $ref; what stands beside it (a description) counts more. */
function resolve(schema) {
  for (let hops = 0; schema?.$ref && hops < 10; hops++) {
    const { $ref, ...beside } = schema;
    const target = $ref.split("/").slice(1).reduce((at, key) => at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
    schema = { ...target, ...beside, title: target?.title ?? $ref.split(/[/.]/).at(-1) };
  }
  return schema ?? {};
}

const types = (s) => [s.type ?? (s.properties ? "object" : [])].flat();
const isObject = (s) => Boolean(s.properties && Object.keys(s.properties).some((k) => k !== "$schema"));

function typeName(raw) {
  const s = resolve(raw);
  const names = types(s).map((t) => {
    if (t === "array") return "list of " + typeName(s.items);
    if (t === "object" && s.title) return s.title;
    if (t === "object" && typeof s.additionalProperties === "object") return "map to " + typeName(s.additionalProperties);
    return s.format && t !== "null" ? `${t} (${s.format})` : t;
  });
  return names.join(" or ") || "anything";
}

function rules(s) {
  const list = [];
  const range = (low, high, unit) => {
    if (low !== undefined && high !== undefined) list.push(low === high ? `${low}${unit}` : `${low} to ${high}${unit}`);
    else if (low !== undefined) list.push(`at least ${low}${unit}`);
    else if (high !== undefined) list.push(`at most ${high}${unit}`);
  };
  range(s.minLength, s.maxLength, " characters");
  range(s.minimum, s.maximum, "");
  range(s.minItems, s.maxItems, " items");
  if (s.enum) list.push("one of " + s.enum.join(", "));
  if (s.pattern) list.push(s.patternDescription ?? "pattern " + s.pattern);
  if (s.default !== undefined) list.push("default " + JSON.stringify(s.default));
  if (s.examples?.length) list.push("for example " + JSON.stringify(s.examples[0]));
  return list.join(" · ");
}

function field(name, raw, required, seen) {
  const s = resolve(raw);
  return h("li", {},
    h("span", { class: "name" }, name), required && h("span", { class: "must", title: "required" }, " *"),
    h("span", { class: "type" }, typeName(raw)),
    s.description && h("span", { class: "note" }, s.description),
    rules(s) && h("span", { class: "rule" }, rules(s)),
    inner(raw, seen));
}

/** inner is what an object, or the items of a list, consist of. */
function inner(raw, seen = []) {
  let s = resolve(raw);
  while (types(s).includes("array") && s.items) s = resolve(s.items);
  if (!isObject(s)) return null;
  if (seen.includes(s.title)) return null; // a type that holds itself
  return h("details", { class: "more", open: seen.length === 0 }, h("summary", {}, s.title ?? "fields"), fields(s, [...seen, s.title]));
}

function fields(s, seen = []) {
  const required = new Set(s.required ?? []);
  const names = Object.keys(s.properties ?? {}).filter((n) => n !== "$schema");
  return h("ul", { class: "fields" }, names.map((n) => field(n, s.properties[n], required.has(n), seen)));
}

function schemaView(raw) {
  const s = resolve(raw);
  if (isObject(s)) return fields(s, [s.title]);
  return h("div", {}, h("span", { class: "type" }, typeName(raw)), rules(s) && h("span", { class: "rule" }, rules(s)), inner(raw));
}

const samples = { email: "shopper@stampede.test", country: "GB", currency: "GBP", quantity: 1, amount_minor: 1999, name: "Ann Lee", line1: "1 High Street", city: "London", postal_code: "N1 9GU", first_name: "Ann", last_name: "Lee" };

/** sample is a value to start from: what is required, and objects. */
function sample(raw, name = "", depth = 0) {
  const s = resolve(raw);
  const type = types(s).find((t) => t !== "null");
  if (s.examples?.length) return s.examples[0];
  if (s.default !== undefined) return s.default;
  if (s.enum) return s.enum[0];
  if (name in samples && typeof samples[name] === (type === "integer" ? "number" : type)) return samples[name];
  if (type === "object") {
    const out = {};
    for (const [key, value] of Object.entries(s.properties ?? {})) {
      const wanted = s.required?.includes(key) || types(resolve(value)).includes("object");
      if (key !== "$schema" && wanted && depth < 5) out[key] = sample(value, key, depth + 1);
    }
    return out;
  }
  if (type === "array") return depth < 4 && s.items ? [sample(s.items, name, depth + 1)] : [];
  if (type === "integer" || type === "number") return s.minimum ?? 1;
  if (type === "boolean") return false;
  if (s.format === "uuid") return "00000000-0000-7000-8000-000000000000";
  return "";
}

const pretty = (v) => JSON.stringify(v, null, 2);

/** random works where crypto.randomUUID does not: plain http beyond localhost. */
function random() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function guestSession() {
  if (!store.cartSession) store.cartSession = random();
  return store.cartSession;
}

// ---- the token ----

function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

function showToken() {
  const token = store.token ?? "", c = claims(token), who = $("who");
  $("token").value = token;
  $("forget").hidden = !token;
  const left = c?.exp ? Math.floor((c.exp * 1000 - Date.now()) / 60000) : 0;
  who.className = token && (!c || left < 0) ? "bad" : "";
  who.textContent = !token ? "" : !c ? "not a token" : left < 0 ? `${c.email ?? c.sub}: expired`
    : `${c.email ?? c.sub}, ${[c.roles ?? []].flat().join(" ") || "no roles"}, ${left} min left`;
}

function setToken(token) {
  store.token = token.trim().replace(/^Bearer\s+/i, "");
  showToken();
}

// ---- trying an operation ----

function contents(op) {
  return Object.entries(resolve(op.requestBody).content ?? {});
}

function bodyInputs(op, id) {
  const list = contents(op);
  if (!list.length) return { view: null, read: () => ({}) };
  const place = h("div", { class: "row wide" });
  let read = () => ({});
  const json = list.find(([type]) => type.includes("json"));
  const choose = (type) => {
    const schema = resolve(list.find(([t]) => t === type)[1].schema);
    if (type.includes("json")) {
      const area = h("textarea", { id: id + "-body", spellcheck: "false", "aria-label": "Body" });
      area.value = pretty(sample(schema));
      area.rows = Math.min(Math.max(area.value.split("\n").length + 1, 4), 24);
      place.replaceChildren(area);
      read = () => ({ body: area.value, type });
    } else if (type === "multipart/form-data") {
      const inputs = Object.entries(schema.properties ?? {}).map(([name, p]) => {
        const s = resolve(p);
        const file = [s.format, resolve(s.items).format].includes("binary") || s.contentEncoding || s.contentMediaType;
        return h("label", {}, name + " ", h("input", { type: file ? "file" : "text", name }));
      });
      place.replaceChildren(...inputs);
      read = () => {
        const form = new FormData();
        for (const label of inputs) {
          const input = label.querySelector("input");
          if (input.files?.length) form.append(input.name, input.files[0]);
          else if (input.type === "text" && input.value) form.append(input.name, input.value);
        }
        return { body: form }; // the browser sets the type, with its boundary
      };
    } else {
      const input = h("input", { type: "file", id: id + "-body", "aria-label": "File" });
      place.replaceChildren(input);
      read = () => ({ body: input.files[0], type });
    }
  };
  const first = (json ?? list[0])[0];
  choose(first);
  if (list.length === 1) {
    return { view: [h("div", { class: "row" }, h("span", {}, "Body"), h("small", {}, first)), place], read: () => read() };
  }
  const select = h("select", { id: id + "-type", change: (e) => choose(e.target.value) }, list.map(([t]) => h("option", { value: t, selected: t === first }, t)));
  return { view: [h("div", { class: "row" }, h("label", { for: id + "-type" }, "Body"), select), place], read: () => read() };
}

function parameterInput(p, id) {
  const s = resolve(p.schema);
  const key = `${id}-${p.in}-${p.name}`;
  let input;
  if (s.enum) input = h("select", { id: key }, h("option", { value: "" }, p.required ? "" : "–"), s.enum.map((v) => h("option", {}, v)));
  else if (types(s).includes("boolean")) input = h("select", { id: key }, ["", "true", "false"].map((v) => h("option", { value: v }, v || "–")));
  else input = h("input", { id: key, spellcheck: "false", placeholder: s.default !== undefined ? String(s.default) : "", inputmode: types(s).includes("integer") ? "numeric" : false });
  let button = null;
  if (p.name === "Idempotency-Key") {
    input.value = random();
    button = h("button", { type: "button", class: "quiet", click: () => { input.value = random(); } }, "New");
  }
  if (p.name === "X-Cart-Session") {
    input.value = guestSession();
    button = h("button", { type: "button", class: "quiet", click: () => { store.cartSession = random(); input.value = store.cartSession; } }, "New");
    input.addEventListener("change", () => { store.cartSession = input.value; });
  }
  return { p, input, view: h("div", { class: "row" }, h("label", { for: key }, p.name, " ", h("small", {}, p.in)), input, button) };
}

const shellQuote = (s) => "'" + s.replaceAll("'", "'\\''") + "'";

function tryForm(path, method, op, id) {
  const inputs = (op.parameters ?? []).map((p) => parameterInput(resolve(p), id));
  const body = bodyInputs(op, id);
  const withToken = h("input", { type: "checkbox", checked: true, id: id + "-auth" });
  const hint = h("span", { class: "hint" });
  const send = h("button", {}, "Send");
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  let running = null;

  const request = () => {
    let url = path;
    const query = new URLSearchParams(), headers = {};
    for (const { p, input } of inputs) {
      const value = input.value.trim();
      if (p.in === "path") {
        if (!value) throw new Error(`${p.name} is needed`);
        url = url.replace(`{${p.name}}`, encodeURIComponent(value));
      } else if (value && p.in === "query") {
        if (types(resolve(p.schema)).includes("array")) value.split(",").forEach((v) => query.append(p.name, v.trim()));
        else query.set(p.name, value);
      } else if (value && p.in === "header") headers[p.name] = value;
    }
    if (query.size) url += "?" + query;
    if (withToken.checked && store.token) headers.Authorization = "Bearer " + store.token;
    const { body: content, type } = body.read();
    if (type) headers["Content-Type"] = type;
    return { url, headers, content };
  };
  const curl = ({ url, headers, content }) => [
    `curl -X ${method.toUpperCase()} ${shellQuote(location.origin + url)}`,
    ...Object.entries(headers).map(([k, v]) => `-H ${shellQuote(k + ": " + (k === "Authorization" ? "Bearer $TOKEN" : v))}`.replace("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"')),
    ...(typeof content === "string" ? [`-d ${shellQuote(content)}`] : content ? ["--data-binary @FILE"] : []),
  ].join(" \\\n  ");

  const submit = async (event) => {
    event.preventDefault();
    if (running) return running.abort();
    let r;
    try {
      r = request();
    } catch (e) {
      hint.textContent = e.message;
      return;
    }
    hint.textContent = "";
    running = new AbortController();
    send.textContent = "Cancel";
    const begun = performance.now();
    try {
      const res = await fetch(r.url, { method: method.toUpperCase(), headers: r.headers, body: r.content, signal: running.signal, cache: "no-store" });
      const type = res.headers.get("Content-Type") ?? "";
      const text = await res.text();
      const took = Math.round(performance.now() - begun);
      let value = null;
      if (type.includes("json")) try { value = JSON.parse(text); } catch { /* shown as it came */ }
      const shown = value ? pretty(value) : text;
      answer.replaceChildren(
        h("p", {}, h("span", { class: "code " + (res.ok ? "ok" : "no") }, String(res.status)), ` ${res.statusText} · ${took} ms · ${text.length} characters`),
        ...(value?.access_token ? [h("p", {}, h("button", { type: "button", click: () => setToken(value.access_token) }, "Use this access token"))] : []),
        shown ? h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, shown.length > 200000 ? shown.slice(0, 200000) + "\n…" : shown) : h("p", {}, "No body."),
        h("details", { class: "more" }, h("summary", {}, "Headers"), h("pre", {}, [...res.headers].map(([k, v]) => `${k}: ${v}`).join("\n"))),
        h("details", { class: "more" }, h("summary", {}, "As a curl command"), h("pre", {}, curl(r))));
    } catch (e) {
      answer.replaceChildren(h("p", {}, e.name === "AbortError" ? "Cancelled." : "No answer: " + e.message));
    } finally {
      running = null;
      send.textContent = "Send";
    }
  };
  const needs = op.security?.length > 0;
  return h("div", { class: "try" }, h("h3", {}, "Try it"),
    h("form", { submit },
      inputs.map((i) => i.view), body.view,
      h("div", { class: "act" }, send, h("label", { class: "hint" }, withToken, needs ? " with the access token" : " with the access token, if there is one"), hint)),
    answer);
}

// ---- the page ----

function answers(op) {
  const list = Object.entries(op.responses ?? {}).map(([code, raw]) => {
    const r = resolve(raw);
    const [type, media] = Object.entries(r.content ?? {})[0] ?? [];
    const headers = Object.keys(r.headers ?? {});
    const ok = code.startsWith("2");
    const title = [h("span", { class: "code " + (ok ? "ok" : "no") }, code), r.description ?? "",
      type && type !== "application/json" && h("span", { class: "type" }, type),
      headers.length > 0 && h("span", { class: "type" }, "header " + headers.join(", "))];
    if (!media?.schema || !ok) return h("li", {}, title);
    return h("li", {}, h("details", { open: true }, h("summary", {}, title), schemaView(media.schema)));
  });
  return h("ul", { class: "answers" }, list);
}

function operation(path, method, op) {
  const id = op.operationId;
  const admin = path.startsWith("/api/v1/admin/");
  const who = admin ? "ADMIN" : op.security?.length ? "logged in" : "anyone";
  const pieces = path.split(/(\{[^}]+\})/).map((p) => (p.startsWith("{") ? h("i", {}, p) : p));
  const inside = h("div", { class: "inside" });
  const box = h("details", { class: "op", id },
    h("summary", {}, h("span", { class: "method " + method }, method.toUpperCase()), h("span", { class: "path" }, pieces),
      h("span", { class: "who" }, who), h("span", { class: "says" }, op.summary ?? "")),
    inside);
  const fill = () => {
    if (inside.children.length) return;
    const parameters = (op.parameters ?? []).map(resolve);
    inside.append(...[
      op.description && h("p", {}, op.description),
      parameters.length && h("div", {}, h("h3", {}, "Parameters"), h("ul", { class: "fields" }, parameters.map((p) => {
        const li = field(p.name, { ...resolve(p.schema), description: p.description }, p.required, ["x"]);
        li.querySelector(".type").prepend(p.in + ", ");
        return li;
      }))),
      ...contents(op).map(([type, media]) => h("div", {}, h("h3", {}, "Body ", h("small", {}, type)), schemaView(media.schema))),
      h("div", {}, h("h3", {}, "Answers"), answers(op)),
      tryForm(path, method, op, id),
    ].filter(Boolean));
  };
  box.addEventListener("toggle", () => { if (box.open) fill(); });
  return { box, open: () => { fill(); box.open = true; } };
}

/** problems reads the table of docs/problems.md: slug, status, title, who tells it. */
async function problems() {
  try {
    const res = await fetch("/static/docs/problems.md");
    if (!res.ok) return [];
    return (await res.text()).split("\n").filter((l) => l.startsWith("| `")).map((l) => {
      const [slug, status, title, by] = l.split("|").slice(1, 5).map((c) => c.trim());
      return { slug: slug.replaceAll("`", ""), status, title, by: by.split(", ") };
    });
  } catch {
    return [];
  }
}

function problemTable(list) {
  return h("table", { class: "slugs" }, h("thead", {}, h("tr", {}, ["Problem", "Status", "Title"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, list.map((p) => h("tr", {}, h("td", {}, h("code", {}, p.slug)), h("td", {}, p.status), h("td", {}, p.title)))));
}

async function start() {
  showToken();
  $("session").addEventListener("submit", (e) => e.preventDefault());
  $("token").addEventListener("change", (e) => setToken(e.target.value));
  $("forget").addEventListener("click", () => setToken(""));
  setInterval(showToken, 30000);

  const res = await fetch("/api/openapi.json");
  if (!res.ok) throw new Error("/api/openapi.json answers " + res.status);
  api = await res.json();
  const told = await problems();

  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods.filter((m) => item[m])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, op: item[method] });
    }
  }
  const admin = (p) => p.includes("/admin/");
  const main = [h("h1", {}, api.info.title + " API"),
    h("p", { class: "lead" }, api.info.description ?? "", " The document: ", h("a", { href: "/api/openapi.json" }, "openapi.json"), ".")];
  const index = [], opened = new Map(), entries = [];
  for (const [tag, list] of [...groups].sort(([a], [b]) => a.localeCompare(b))) {
    list.sort((a, b) => admin(a.path) - admin(b.path) || a.path.localeCompare(b.path) || methods.indexOf(a.method) - methods.indexOf(b.method));
    const section = h("section", { id: "service-" + tag }, h("h2", {}, tag));
    const links = h("ul");
    for (const { path, method, op } of list) {
      const made = operation(path, method, op);
      opened.set(op.operationId, made.open);
      section.append(made.box);
      const link = h("li", {}, h("a", { href: "#" + op.operationId, title: `${method.toUpperCase()} ${path}` }, h("span", { class: "method " + method }, method === "delete" ? "DEL" : method.toUpperCase()), op.summary ?? path));
      links.append(link);
      entries.push({ link, text: `${method} ${path} ${op.summary ?? ""} ${tag}`.toLowerCase() });
    }
    const own = told.filter((p) => p.by.includes(tag));
    if (own.length) section.append(h("details", { class: "more problems" }, h("summary", {}, `Problems that ${tag} tells of (${own.length})`), problemTable(own)));
    index.push(h("div", {}, h("h2", {}, h("a", { href: "#service-" + tag }, tag)), links));
    main.push(section);
  }
  const everywhere = told.filter((p) => p.by.includes("any"));
  main.push(h("section", { id: "problems" }, h("h2", {}, "Problems"),
    h("p", { class: "lead" }, "Every refusal is a document of type application/problem+json (RFC 9457); its type is urn:stampede:problem: and the problem's name."),
    schemaView({ $ref: "#/components/schemas/Problem" }),
    everywhere.length > 0 && h("details", { class: "more problems", open: true }, h("summary", {}, "Told by every service"), problemTable(everywhere))));
  index.push(h("div", {}, h("h2", {}, h("a", { href: "#problems" }, "Problems"))));
  const none = h("p", { class: "none", hidden: true }, "Nothing fits.");
  $("index").replaceChildren(...index, none);
  $("main").replaceChildren(...main.flat());

  $("filter").addEventListener("input", (e) => {
    const words = e.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let hits = 0;
    for (const { link, text } of entries) {
      link.hidden = !words.every((w) => text.includes(w));
      hits += !link.hidden;
    }
    for (const group of index) group.hidden = words.length > 0 && !group.querySelector("li:not([hidden])");
    none.hidden = hits > 0;
    document.querySelector("nav").classList.toggle("finding", words.length > 0);
  });

  const follow = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    opened.get(id)?.();
    document.getElementById(id)?.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  $("index").addEventListener("click", (e) => { if (e.target.closest("a")?.hash === location.hash) follow(); });
  follow();
}

start().catch((e) => {
  $("main").replaceChildren(h("p", { class: "error", role: "alert" }, "The API document could not be read: " + e.message));
});
