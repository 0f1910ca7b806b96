// The page of a drop, and the page that checks one. A page that waits asks for nothing but the drop's status, which is the
// same for everybody: its own place it works out by itself, and its sections are all there already.
(() => {
  "use strict";

  // As a worker this file is a clock: of a page that nobody looks at, browsers slow down the clock, but not its worker's.
  if (typeof document === "undefined") {
    self.onmessage = e => setTimeout(() => postMessage(e.data.id), e.data.ms);
    return;
  }

  // SHA-256 (FIPS 180-4). Browsers have one, but only for pages that came by https.
  const roots = [], heads = [];
  for (let n = 2; roots.length < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) prime &&= n % d > 0;
    if (!prime) continue;
    if (heads.length < 8) heads.push((n ** (1 / 2) * 2 ** 32) | 0);
    roots.push((n ** (1 / 3) * 2 ** 32) | 0);
  }
  const words = new Int32Array(64);
  const sha256 = (...parts) => {
    const length = parts.reduce((n, part) => n + part.length, 0);
    const text = new Uint8Array((length + 72) & ~63), state = Int32Array.from(heads);
    let at = 0;
    for (const part of parts) { text.set(part, at); at += part.length; }
    text[length] = 0x80;
    const view = new DataView(text.buffer);
    view.setBigUint64(text.length - 8, BigInt(length * 8));
    for (let block = 0; block < text.length; block += 64) {
      for (let i = 0; i < 64; i++) {
        if (i < 16) { words[i] = view.getInt32(block + i * 4); continue; }
        const a = words[i - 15], b = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + ((a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ a >>> 3) +
          ((b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ b >>> 10);
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i++) {
        const one = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + roots[i] + words[i] | 0;
        const two = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word; });
    }
    const out = new DataView(new ArrayBuffer(32));
    state.forEach((word, i) => out.setInt32(i * 4, word));
    return new Uint8Array(out.buffer);
  };
  const digit = code => code < 58 ? code - 48 : (code | 32) - 87;
  const bytes = hex => { // a log has millions of digits: without a string for each of them
    const digits = hex.replaceAll("-", ""), out = new Uint8Array(digits.length >> 1);
    for (let i = 0; i < out.length; i++) out[i] = digit(digits.charCodeAt(2 * i)) << 4 | digit(digits.charCodeAt(2 * i + 1));
    return out;
  };
  const hex = data => Array.from(data, byte => byte.toString(16).padStart(2, "0")).join("");
  const eight = n => { const v = new DataView(new ArrayBuffer(8)); v.setBigUint64(0, BigInt(n)); return new Uint8Array(v.buffer); };

  // The place of entry idx of n, as drop.Position of the shop's source works it out: 90 rounds of swap-or-not.
  const position = (idx, n, seed) => {
    for (let round = 0; round < 90; round++) {
      const pivot = Number(new DataView(sha256(seed, [round]).buffer).getBigUint64(0, true) % BigInt(n));
      const mirror = (pivot + n - idx) % n, higher = Math.max(idx, mirror);
      const block = new DataView(new ArrayBuffer(4));
      block.setUint32(0, Math.floor(higher / 256), true);
      const coins = sha256(seed, [round], new Uint8Array(block.buffer));
      if (coins[higher % 256 >> 3] >> higher % 8 & 1) idx = mirror;
    }
    return idx;
  };

  // How something that was entered for stands, and which section the page shows: as row and stage of the storefront have it.
  const row = (status, claim, place) => {
    const lot = status.skus.find(l => l.sku === claim.sku) || { called: 0, free: 0, held: 0, sold: 0 };
    switch (claim.state) {
      case "held": case "asked": return "holding";
      case "bought": case "offered": return claim.state;
    }
    if (status.state === "sold_out" || lot.free + lot.held === 0 && lot.sold > 0) return "sold-out";
    if (["standby", "refused"].includes(claim.state)) return claim.state;
    if (place === null || place >= lot.called) return "waiting";
    return claim.state === "lapsed" ? "lapsed" : "turn";
  };
  const stage = (status, preset, me, rows, now) => {
    const has = state => rows.includes(state), joined = me && !me.left;
    const done = rows.length > 0 && rows.every(r => ["bought", "sold-out", "refused"].includes(r));
    if (me?.excluded) return "excluded";
    if (has("holding")) return "holding";
    if (has("bought") && (done || ["sold_out", "closed"].includes(status.state))) return "bought";
    switch (status.state) {
      case "sold_out": return "sold-out";
      case "closed": return "closed";
      case "scheduled": return "announced";
      case "prequeue": return now >= Date.parse(status.opens_at) ? "drawing" : joined ? "in" : "enter";
      case "drawing": case "paused": return status.state;
    }
    if (!joined) return preset === "draw" ? "entry-closed" : "late";
    for (const state of ["offered", "turn", "lapsed", "standby"]) if (has(state)) return state;
    if (done) return has("refused") ? "refused" : "sold-out";
    return status.state === "all_held" ? "all-held" : "waiting";
  };

  // How many milliseconds to wait before the next look. ahead is how many stand before, null for who does not wait; random is
  // from 0 to 1. Looks at the beginning of entries and after the opening are spread, so that not all come at once.
  const pause = (status, begins, ahead, rate, now, random) => {
    const [least, most] = status.poll_s, opens = Date.parse(status.opens_at), jitter = 1 + .3 * random;
    if (["sold_out", "closed"].includes(status.state)) return Infinity;
    if (status.state === "scheduled") {
      const left = Date.parse(begins) - now;
      return left <= 0 ? most * 1000 * jitter : Math.min(30_000 * jitter, left + 30_000 * random);
    }
    if (status.state === "prequeue" && now < opens) {
      return now + most * 1000 * jitter < opens ? most * 1000 * jitter : opens - now + 8000 * random;
    }
    const eta = ahead > 0 && rate > 0 ? ahead / rate * 60 : ahead > 0 ? Infinity : 0;
    return Math.min(Math.max(eta / 20, least), most) * 1000 * jitter;
  };

  // What is said of one's odds, and when it may be one's turn: as odds and wait of the storefront have it.
  const odds = (lot, place) => {
    if (lot.part > 0) {
      const share = lot.part >= .95 ? "nearly all" :
        lot.part >= .5 ? `${Math.floor(lot.part * 10 + .5)} in 10` : `about 1 in ${Math.floor(1 / lot.part + .5)}`;
      return `There is enough for ${share} of those who are in so far.`;
    }
    if (place === null || place < lot.called) return "";
    if (place < lot.likely_below) return "It is likely that there is one for you.";
    return lot.free > 0
      ? "It is unlikely that there is one for you: those who stand before you will probably take what is left."
      : "All are held just now: there is one for you only if others give theirs up.";
  };
  const waitFor = (lot, place) => {
    if (place < lot.called || place >= lot.likely_below || lot.rate_per_min <= 0) return "";
    const mean = (place - lot.called + 1) / lot.rate_per_min, least = Math.floor(mean * .59), most = Math.ceil(mean * 1.09);
    return most <= 1 ? "within a minute" : least < 1 ? `within ${most} minutes` : `in ${least} to ${most} minutes`;
  };

  // The log of entries as RFC 6962 hashes it: leaves are added, and the root is that of all so far.
  const log = () => {
    const peaks = []; // whole trees, the largest first: their heights and hashes
    let size = 0;
    return {
      add(leaf) {
        let hash = sha256([0], leaf), height = 0;
        for (; peaks.length && peaks[peaks.length - 1][0] === height; height++) hash = sha256([1], peaks.pop()[1], hash);
        peaks.push([height, hash]);
        size++;
      },
      get size() { return size; },
      get root() {
        return peaks.length ? peaks.map(p => p[1]).reduceRight((right, left) => sha256([1], left, right)) : sha256();
      },
    };
  };

  const text = new TextEncoder();
  // Checks a drop's proof against its leaves, and tells step by step what is right. It throws what is wrong.
  const check = (doc, leaves, tell) => {
    const rules = JSON.parse(doc.rules), tree = log();
    const grow = to => { while (tree.size < to) tree.add(bytes(leaves[tree.size])); };
    for (const head of doc.heads) {
      if (head.size < tree.size || head.size > leaves.length) throw "The log has fewer entries than the shop has said before.";
      if (rules.head_key && head.key !== rules.head_key) throw "The shop’s statements are signed by another key than the rules name.";
      grow(head.size);
      if (hex(tree.root) !== head.root) throw `The log’s first ${head.size} entries are not what they were.`;
    }
    tell(`The log has ${leaves.length} entries. It has only grown: each of the shop’s ${doc.heads.length} statements about it fits.`);
    if (doc.n === null) return tell("It has not opened yet. More can be checked then.");
    grow(Math.min(doc.n, leaves.length));
    const root = tree.root;
    if (tree.size !== doc.n || hex(root) !== doc.root || doc.heads.at(-1)?.root !== doc.root) {
      throw "The log that was closed at the opening is another one.";
    }
    tell(`At the opening it was closed with ${doc.n} entries.`);
    if (!doc.seed) return tell("The order is being drawn. Look again in a few seconds.");
    const parts = [text.encode(doc.drop), text.encode(doc.rules), bytes(doc.secret)];
    if (hex(sha256(...parts.flatMap(p => [eight(p.length), p]))) !== doc.commitment) {
      throw "The secret is not the one that the shop had fixed beforehand, or the rules were changed.";
    }
    tell("The secret and the rules are those that the shop had fixed before anybody entered.");
    let random = [];
    if (rules.beacon === "drand") {
      random = sha256(bytes(doc.beacon_signature));
      tell(`The public random number of drand’s round ${rules.round} is ${hex(random)}. Anybody can look it up there.`);
    } else tell("There was no public random number: the shop could have influenced the order.");
    const seed = sha256(bytes(doc.secret), random, root, eight(doc.n));
    if (hex(seed) !== doc.seed) throw "The seed does not follow from the secret, the log and the random number.";
    tell("The seed follows from them, and from nothing else. It decides the order.");
    return seed;
  };
  // Whether the shop has signed each statement about the log; false: this browser cannot tell (Ed25519 is in those of 2025 and later,
  // for pages that came by https). It throws when one is not. That the key is the one of the rules is for check to see.
  const signed = async doc => {
    if (!globalThis.crypto?.subtle) return false;
    for (const head of doc.heads) {
      const said = `stampede head 1\n${doc.drop}\n${head.size}\n${head.root}\n${Date.parse(head.at)}\n`;
      let right = false;
      try {
        const key = await crypto.subtle.importKey("raw", bytes(head.key), "Ed25519", false, ["verify"]);
        right = await crypto.subtle.verify("Ed25519", key, bytes(head.signature), text.encode(said));
      } catch (e) {
        if (e.name === "NotSupportedError") return false;
      }
      if (!right) throw "The shop has not signed what is told of its log.";
    }
    return true;
  };
  // The line of the log that is somebody's own.
  const leafOf = (entry, account, salt) => hex(sha256(bytes(entry), sha256(bytes(account), bytes(salt))));

  window.stampedeDrop = { sha256, hex, bytes, position, row, stage, pause, odds, waitFor, log, check, signed, leafOf }; // for tests

  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => root.querySelectorAll(selector);
  const number = n => n.toLocaleString(document.documentElement.lang);

  // The page that checks.
  const verify = $("#verify");
  if (verify) (async () => {
    const steps = $("#verify-steps"), result = $("#verify-result"), at = `/api/v1/drops/${verify.dataset.slug}`;
    const tell = said => { const li = document.createElement("li"); li.textContent = said; steps.append(li); };
    const read = async path => {
      const answer = await fetch(at + path);
      if (!answer.ok) throw "The published files could not be read. Please try again in a moment.";
      return answer.json();
    };
    result.textContent = "Checking …";
    try {
      const doc = await read("/proof"), leaves = [];
      for (;;) {
        const next = (await read(`/leaves?from=${leaves.length}`)).leaves;
        if (!next.length) break;
        leaves.push(...next);
      }
      const seed = check(doc, leaves, tell);
      const by = await signed(doc) ? JSON.parse(doc.rules).head_key ? "rules" : "any" : "unknown";
      tell({
        rules: "The shop has signed each statement, with the key that its rules had named before anybody entered.",
        any: "Each statement is signed, but the rules name no key: whoever shows this log could have signed them.",
        unknown: "This browser cannot check whether the shop has signed its statements. The command go run ./drop/verify can.",
      }[by]);
      const { entry, account, salt, idx } = verify.dataset;
      if (entry) {
        if (leaves[idx] !== leafOf(entry, account, salt)) throw "Your own entry is not in the log where it should be.";
        tell(`Your own entry is number ${number(+idx + 1)} in the log.`);
        if (seed) tell(`Your place follows: ${number((+idx < doc.n ? position(+idx, doc.n, seed) : +idx) + 1)} of ${number(leaves.length)}.`);
      }
      result.textContent = seed ? "Everything fits: the order is the one that follows from what was fixed beforehand." : "So far everything fits.";
      result.className = "good-note";
    } catch (wrong) {
      result.textContent = typeof wrong === "string" ? wrong : "Something in the published files cannot be read.";
      result.className = "alert";
    }
  })();

  let drop = $("#drop");
  if (!drop) return;
  let { slug, preset, begins, stage: shown, me, status } = JSON.parse(drop.dataset.drop);
  const title = document.title, said = $("#drop-said");

  // The server's clock: a device's may be wrong, and an old answer is never ahead of it.
  let ahead = 0;
  const hear = s => { ahead = Math.max(ahead, Date.parse(s.now) - performance.now()); };
  const now = () => ahead + performance.now();
  hear(status);

  let worker = null, timers = 0;
  const waiting = new Map();
  try {
    worker = new Worker(document.currentScript.src);
    worker.onmessage = e => { const fn = waiting.get(e.data); waiting.delete(e.data); fn?.(); };
  } catch { /* the page's own clock will do */ }
  const after = (ms, fn) => {
    if (!worker) return setTimeout(fn, ms);
    waiting.set(++timers, fn);
    worker.postMessage({ id: timers, ms });
  };

  let drawn = null; // one's place, worked out once
  const place = () => {
    if (!me) return null;
    if (me.position !== null) return me.position; // the server knew it
    if (status.n === null) return null;
    if (me.idx >= status.n) return me.idx;
    if (drawn === null && status.seed) drawn = position(me.idx, status.n, bytes(status.seed));
    return drawn;
  };
  const lotOf = sku => status.skus.find(l => l.sku === sku);
  // Of what I wait for, the lot that comes to me first.
  const nearest = () => {
    const at = place();
    let found = null;
    for (const c of me && !me.left && at !== null ? me.claims : []) {
      const lot = lotOf(c.sku);
      if (lot && row(status, c, at) === "waiting" && (!found || at - lot.called < found.ahead)) {
        found = { ahead: at - lot.called, rate: lot.rate_per_min, lot };
      }
    }
    return found;
  };

  const fill = (name, value, root = drop) => {
    for (const e of all(`[data-n=${name}]`, root)) e.textContent = typeof value === "number" ? number(value) : value;
  };
  const show = () => {
    const at = place(), near = nearest();
    const rows = me ? me.claims.map(c => row(status, c, at)) : [];
    const mine = me ? status.skus.filter(l => me.claims.some(c => c.sku === l.sku)) : status.skus;
    fill("entered", Math.max(status.entered, me ? me.idx + 1 : 0)); // oneself among them
    fill("left", mine.reduce((n, l) => n + l.free, 0));
    if (at !== null) fill("place", at + 1);
    for (const e of all("[data-drawn]", drop)) e.hidden = at === null;
    if (near) {
      fill("ahead", near.ahead);
      const words = waitFor(near.lot, at);
      fill("wait", words && `It may be your turn ${words}.`);
      const line = $("progress", drop);
      line.max = Math.max(at, 1);
      line.value = near.lot.called;
      if (near.rate > 0 && near.ahead / near.rate < 1.5) renew();
    }
    for (const lot of status.skus) {
      const told = $(`[data-lot="${CSS.escape(lot.sku)}"]`);
      for (const part of told ? ["sold", "held", "free"] : []) fill(part, lot[part], told);
    }
    for (const li of all("[data-row]", drop)) {
      const i = me ? me.claims.findIndex(c => c.sku === li.dataset.row) : -1;
      li.hidden = !["turn", "offered", "lapsed", "refused"].includes(rows[i]);
    }
    for (const e of all("[data-odds]", drop)) {
      const i = me ? me.claims.findIndex(c => c.sku === e.dataset.odds) : -1, lot = lotOf(e.dataset.odds);
      e.textContent = lot && rows[i] === "waiting" ? odds(lot, at) : "";
      e.parentElement.hidden = !e.textContent;
    }
    const message = $("#drop-message");
    if (message.textContent !== status.message) message.textContent = status.message;
    message.hidden = !status.message;
    become(stage(status, preset, me, rows, now()));
  };
  // Shows another section, and says so once: numbers that move are not read out.
  const become = next => {
    if (next === shown) return;
    shown = next;
    drop.dataset.stage = next;
    for (const section of all("section[data-stage]", drop)) section.hidden = section.dataset.stage !== next;
    announce();
  };
  const announce = () => {
    const section = $(`section[data-stage="${shown}"]`, drop), words = $("h2", section).textContent.replace(/\s+/g, " ").trim();
    said.textContent = words;
    document.title = section.classList.contains("now") ? `${words} · ${title}` : title;
  };

  // A session's token is renewed shortly before it is wanted, not by everybody at once.
  let renewed = false;
  const renew = () => {
    if (!renewed && window.htmx) htmx.trigger("body", "look-again");
    renewed = true;
  };

  // What is somebody's own is asked for only by who is called, stands by or holds something: another device may have acted.
  let lookedAt = 0;
  const body = async (query = "") => {
    lookedAt = now();
    const answer = await fetch(`/drops/${slug}/body${query}`, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const box = document.createElement("template");
    box.innerHTML = await answer.text();
    const fresh = $("#drop", box.content), data = fresh && JSON.parse(fresh.dataset.drop);
    if (!data) return;
    const but = m => JSON.stringify(m && { ...m, position: null, version: null }); // a place is the same whoever works it out
    const same = data.stage === shown && but(data.me) === but(me);
    hear(data.status);
    me = data.me;
    if (Date.parse(data.status.now) >= Date.parse(status.now)) status = data.status;
    if (!same) { // else what somebody chooses at this moment stays under their hands
      const before = shown;
      drop.replaceWith(fresh);
      drop = fresh;
      shown = data.stage;
      if (before !== shown) announce();
    }
    show();
  };

  // Who is near waits for news of their entry. Thousands must not: who is further back follows the status alone, and so does
  // who was answered without news, for a while: there are many who wait.
  let hangs = false, full = 0;
  const hang = async () => {
    const near = nearest(), began = now(), version = me?.version;
    const soon = shown === "waiting" && near?.rate > 0 && near.ahead / near.rate < .5 ||
      shown === "standby" && me?.claims.some(c => c.standby > 0 && c.standby <= 20);
    if (!soon || !version || hangs || began < full) return;
    hangs = true;
    try {
      await body(`?wait=20&since=${version}`);
      if (me?.version === version && now() - began < 5000) full = now() + 30_000;
    } catch { full = now() + 30_000; }
    hangs = false;
    hang();
  };

  let looks = 0, failed = 0;
  const look = async () => {
    const mine = ++looks;
    try {
      const answer = await fetch(`/api/v1/drops/${slug}/status`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw answer.status;
      const next = await answer.json();
      if (mine !== looks) return; // another look has begun since
      hear(next);
      if (Date.parse(next.now) >= Date.parse(status.now)) status = next;
      failed = 0;
      show();
      if (["turn", "offered", "standby", "holding"].includes(shown) && !hangs && now() - lookedAt > 10_000) await body();
      hang();
    } catch { failed++; }
    if (mine === looks) again();
  };
  const again = () => {
    const near = nearest(), mine = looks;
    const ms = pause(status, begins, near ? near.ahead : null, near ? near.rate : 0, now(), Math.random());
    const moving = ["holding", "offered"].includes(shown);
    if (ms === Infinity && !moving) return;
    after(failed ? status.poll_s[1] * 1000 * (1 + Math.random()) : Math.min(ms, moving ? 10_000 : ms), () => { if (mine === looks) look(); });
  };

  // What counts down, and how old what we know is.
  const span = ms => {
    const s = Math.max(Math.floor(ms / 1000), 0), two = n => String(n).padStart(2, "0");
    if (s >= 48 * 3600) return `${Math.floor(s / 86400)} days`;
    return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
  };
  let warned = "", ended = "";
  const tick = () => {
    for (const e of all("[data-until]", drop)) {
      const left = Date.parse(e.dataset.until === "begins" ? begins : status.opens_at) - now();
      if (left < 48 * 3600_000 || !e.firstElementChild) {
        e.textContent = `${e.dataset.words || ""} ${left > 0 ? `in ${span(left)}` : "now"}`.trim();
      }
    }
    for (const e of all(`section:not([hidden]) [data-ends]`, drop)) {
      const until = e.dataset.ends, left = Date.parse(until) - now();
      e.dataset.clock ||= e.textContent;
      e.textContent = `${e.dataset.clock} (${span(left)})`;
      e.closest("section").classList.toggle("soon", left < 120_000);
      const more = all("section:not([hidden]) [data-more-time]", drop);
      for (const form of more) form.hidden = left >= 120_000;
      if (shown === "holding" && left < 120_000 && left > 0 && warned !== until) {
        warned = until;
        said.textContent = `Two minutes are left to pay for what is held for you.${more.length ? " You can ask for more time." : ""}`;
        document.title = `2 minutes left · ${title}`;
      }
      if (left < -1000 && ended !== until) { ended = until; body().catch(() => {}); }
    }
    const age = Math.round((now() - Date.parse(status.now)) / 1000), old = $("#drop-old");
    old.hidden = !failed && age < Math.max(60, status.poll_s[1] * 4) || pause(status, begins, null, 0, now(), 0) === Infinity;
    if (!old.hidden) $("#drop-age").textContent = `The last we know is ${age < 120 ? `${age} seconds` : `${Math.round(age / 60)} minutes`} old.`;
    if (["in", "enter"].includes(shown) && now() >= Date.parse(status.opens_at)) show();
  };

  // A tab that comes back looks at once, also at what another device did.
  const back = () => {
    if (document.hidden) return;
    lookedAt = 0;
    look();
  };
  document.addEventListener("visibilitychange", back);
  window.addEventListener("online", back);
  window.addEventListener("pageshow", e => { if (e.persisted) back(); });
  show();
  tick();
  setInterval(tick, 1000);
  again();
})();
