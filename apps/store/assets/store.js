// What the pages can do more with a script than without. Everything here is an
// improvement: each form and link works by itself.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => root.querySelectorAll(selector);
  document.documentElement.classList.add("js");

  // Where one is can be seen in a row of links that is wider than the window.
  for (const a of all(".cats [aria-current], .side [aria-current]")) {
    const row = a.closest("ul");
    row.scrollLeft = a.offsetLeft - row.offsetLeft - (row.clientWidth - a.offsetWidth) / 2;
  }

  // Countdowns to the end of a hold. More time is offered when two minutes are left, by this device's clock or by the server's
  // since the page came: either may be wrong.
  let told = 0, refreshed = 0, warned = false;
  const tick = () => {
    for (const t of all("time[data-until]")) {
      const left = Math.floor((new Date(t.dateTime) - Date.now()) / 1000);
      if (left > 0) {
        t.textContent = `for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
        t.closest(".hold, .held")?.classList.toggle("soon", left < 120);
      } else if (!t.dataset.over) {
        t.dataset.over = "1";
        t.textContent = "no longer";
        if (Date.now() - told > 5000) {
          told = Date.now();
          toast("What was held for you is free again. It is still in your cart.");
          // Not oftener than twice a minute: a device whose clock is wrong would never have done.
          if (Date.now() - refreshed > 30000) {
            refreshed = Date.now();
            setTimeout(refresh, 500);
          }
        }
      }
    }
  };

  const offer = () => {
    let short = false;
    for (const box of all("[data-longer]")) {
      const left = Math.min(new Date(box.dataset.longer) - Date.now(), box.dataset.left * 1000 - performance.now());
      box.hidden = left >= 120_000;
      short ||= !box.hidden;
    }
    if (short && !warned) toast("Two minutes are left to pay for what is held for you. You can ask for more time.");
    warned = short;
  };

  // What a page shows of the cart, as it is now.
  const refresh = () => {
    htmx.trigger("body", "look-again");
    if ($("#cart-body")) htmx.ajax("GET", "/cart", { target: "#cart-body", select: "#cart-body", swap: "outerHTML" });
    if (drawer.open) htmx.ajax("GET", $("#cart-link").getAttribute("hx-get"), "#drawer-body");
    if ($("#checkout")) {
      const address = $("input[name=address_id]:checked") || $("input[name=address_id]");
      const query = new URLSearchParams({ address_id: address?.value || "new", country: $("#country")?.value || "" });
      htmx.ajax("GET", "/checkout/summary?" + query, "#summary");
    }
  };

  const toast = text => {
    const box = $("#toast");
    (drawer.open ? drawer : document.body).append(box); // nothing lies over an open dialog but what is in it
    box.textContent = text;
    box.classList.add("on");
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => box.classList.remove("on"), 6000);
  };

  // The cart's drawer. When it closes, what opened it has the focus again: by its id, since the head may have been made anew
  // meanwhile, and a button that can be pressed no more does not take it.
  const drawer = $("#drawer");
  let opener = "cart-link";
  drawer.addEventListener("close", () => {
    const at = document.getElementById(opener);
    (!at || at.disabled ? $("#cart-link") : at)?.focus();
  });
  drawer.addEventListener("click", e => { if (e.target === drawer) drawer.close(); });
  document.addEventListener("click", e => {
    if (e.target.closest("#drawer a[href='/cart']") && location.pathname === "/cart") drawer.close();
  });
  document.body.addEventListener("htmx:afterSwap", e => {
    if (e.detail.target.id === "drawer-body") {
      if (!drawer.open) {
        if (e.detail.requestConfig.elt === document.body) return; // it was closed while we looked again
        drawer.showModal();
      } else if (!drawer.contains(document.activeElement)) $("button", drawer)?.focus(); // what had the focus is gone
      htmx.trigger("body", "look-again");
    }
    if (e.detail.target.id === "order-body") { // the cart is emptied a moment after an order is paid
      htmx.trigger("body", "look-again");
      setTimeout(() => htmx.trigger("body", "look-again"), 2000);
    }
    tick();
  });
  document.body.addEventListener("htmx:beforeRequest", e => {
    const by = e.detail.elt;
    if (e.detail.target.id === "drawer-body" && !drawer.open) opener = (by.matches("form") ? $("button", by) : by).id;
    // In the drawer's own page the cart is all there is.
    if (by.id === "cart-link" && ["/cart", "/checkout"].includes(location.pathname)) {
      e.preventDefault();
      location.assign("/cart");
    }
  });

  // The session's token for forms that came with the page for everybody.
  document.body.addEventListener("htmx:afterSettle", e => {
    const kept = e.detail.target.id === "personal" ? $("template[data-token]") : null;
    if (kept?.dataset.token) for (const i of all("input[name=token]")) i.value = kept.dataset.token;
  });
  // A cart is one, in however many tabs: who changes it tells the others, and who comes back to a tab sees it as it is.
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("cart") : null;
  tabs?.addEventListener("message", refresh);
  const changed = () => tabs?.postMessage("changed");
  document.body.addEventListener("htmx:afterRequest", e => {
    if (e.detail.successful && e.detail.requestConfig.verb === "post" && e.detail.requestConfig.path.startsWith("/cart/")) changed();
  });
  if (new URLSearchParams(location.search).has("added")) changed(); // the page after a form that no script has sent
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  window.addEventListener("pageshow", e => {
    if (!e.persisted) return;
    refresh();
    for (const form of all("form[data-once]")) ready(form);
  });

  // What does not work in place is done by the page itself, which can say more.
  document.body.addEventListener("htmx:responseError", e => {
    const form = e.detail.elt.closest?.("form");
    if (e.detail.xhr.status === 503 && e.detail.requestConfig.verb === "post") { // a crowd: not again at once
      form?.reset();
      return toast("That cannot be done at this moment. Please try again shortly.");
    }
    if (form && e.detail.requestConfig.verb === "post") return HTMLFormElement.prototype.submit.call(form);
    if (e.detail.elt.id === "cart-link") return location.assign("/cart");
    if (e.detail.target?.id === "order-body") return again(e.detail.elt);
  });
  document.body.addEventListener("htmx:sendError", e => {
    if (e.detail.target?.id === "order-body") return again(e.detail.elt);
    if (e.detail.requestConfig?.verb !== "post") return;
    e.detail.elt.closest?.("form")?.reset(); // it says what is, not what was wished
    toast("We could not be reached. Please try again in a moment.");
  });
  const again = elt => setTimeout(() => {
    const at = elt.getAttribute("hx-get") || $("#order-body [hx-get]")?.getAttribute("hx-get");
    if (at) htmx.ajax("GET", at, "#order-body");
  }, 3000);

  // A form that must be sent once.
  const ready = form => {
    delete form.dataset.sent;
    const button = $("#pay", form);
    if (button?.dataset.text) { button.textContent = button.dataset.text; button.removeAttribute("aria-disabled"); }
  };
  document.addEventListener("submit", e => { // also of forms that come into the page later
    const form = e.target.closest("form[data-once]");
    if (!form) return;
    if (form.dataset.sent) return e.preventDefault();
    form.dataset.sent = "1";
    const button = $("#pay", form);
    if (button && !(e.submitter && e.submitter.name)) {
      button.dataset.text = button.textContent;
      button.textContent = "One moment …";
      button.setAttribute("aria-disabled", "true");
    }
  });

  // The checkout: a new address only when one is wanted, the total for where it goes.
  const fresh = $("#new-address");
  if (fresh) {
    const fold = () => {
      const on = $("input[name=address_id]:checked") || $("input[name=address_id]");
      const folded = on && on.value !== "new";
      fresh.hidden = folded;
      for (const i of all("input, select", fresh)) {
        i.disabled = folded;
        if ("required" in i.dataset) i.required = true; // not without a script, which could not take it back
      }
    };
    for (const i of all("input[name=address_id]")) i.addEventListener("change", fold);
    fresh.addEventListener("change", e => {
      const to = "/checkout/summary?address_id=new&country=" + encodeURIComponent(e.target.value);
      if (e.target.id === "country") htmx.ajax("GET", to, "#summary");
    });
    fresh.addEventListener("htmx:afterSwap", fold); // another country's fields
    fold();
  }

  // The filters are open where there is room.
  const filters = $("details.filters");
  if (filters && matchMedia("(min-width: 60rem)").matches) filters.open = true;
  for (const i of all(".filter-form select, .filter-form input[type=checkbox]")) i.addEventListener("change", () => i.form.requestSubmit());

  // Suggestions: arrows go through them, Escape closes.
  const search = $("form.search:not(.lone)");
  if (search) {
    const box = $("#suggestions"), input = $("#q");
    search.addEventListener("keydown", e => {
      const links = [...all("a", box)], at = links.indexOf(document.activeElement);
      if (e.key === "Escape") { box.replaceChildren(); input.focus(); }
      if (e.key === "ArrowDown" && links.length) { e.preventDefault(); links[Math.min(at + 1, links.length - 1)].focus(); }
      if (e.key === "ArrowUp" && at >= 0) { e.preventDefault(); (links[at - 1] || input).focus(); }
    });
    document.addEventListener("click", e => { if (!search.contains(e.target)) box.replaceChildren(); });
    search.addEventListener("focusout", e => { if (e.relatedTarget && !search.contains(e.relatedTarget)) box.replaceChildren(); });
  }

  // A product: pictures, variants, and how many there are while the page is open.
  const product = $("article.product");
  const stageOf = a => {
    const stage = $("#stage");
    stage.srcset = a.dataset.srcset;
    stage.src = a.dataset.picture;
    stage.alt = $("img", a).alt;
    stage.closest("a").href = a.href;
    for (const other of all("[data-picture]", product)) other.removeAttribute("aria-current");
    a.setAttribute("aria-current", "true");
  };
  if (product) for (const a of all("[data-picture]", product)) a.addEventListener("click", e => {
    e.preventDefault();
    stageOf(a);
  });
  if ($("#buy")) { // in a drop nothing is sold on the product's page
    const variants = [...all("[data-variant]", product)];
    const chosen = () => variants.find(v => v.type === "hidden" || v.checked);
    const quantity = $("#quantity");
    const show = () => {
      const v = chosen(), stock = $("#stock"), button = $("#add");
      const gone = variants.every(i => i.dataset.state === "out");
      if (v) {
        $("#price").textContent = v.dataset.price;
        if (stock.textContent.trim() !== v.dataset.text) {
          const dot = document.createElement("span");
          dot.className = "dot " + v.dataset.state;
          stock.replaceChildren(dot, " " + v.dataset.text);
        }
      }
      const can = v ? [v] : variants.filter(i => i.dataset.state !== "out"); // without a choice as many as there are of each
      const most = gone ? 1 : Math.max(Math.min(10, ...can.map(i => i.dataset.most)), 1);
      while (quantity.options.length > most) quantity.remove(most);
      while (quantity.options.length < most) quantity.add(new Option(quantity.options.length + 1));
      const out = gone || v?.dataset.state === "out"; // with nothing chosen yet, the browser asks for it
      if (!button.closest(".htmx-request")) button.disabled = out;
      button.textContent = gone ? "Sold out" : out ? "Choose another" : "Add to cart";
      $("#gone-note").hidden = !gone;
    };
    // What is said about a variant, all of it at once.
    const hear = (sku, said) => {
      const v = variants.find(i => i.value === sku);
      if (!v) return;
      for (const part of ["state", "text", "note", "most"]) v.dataset[part] = said[part];
      if (v.type !== "radio") return;
      v.disabled = said.state === "out";
      v.parentElement.classList.toggle("gone", v.disabled);
      $(".note", v.parentElement).textContent = said.note;
    };
    for (const v of variants) v.addEventListener("change", () => {
      const own = v.dataset.shown && [...all("[data-picture]", product)].find(a => a.dataset.picture === v.dataset.shown);
      if (own) stageOf(own);
      show();
    });
    const look = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(product.dataset.stock, { headers: { Accept: "application/json" } });
        // An answer may be two seconds old, and older than what the cart has just told.
        if (!answer.ok || Date.now() - heard < 3000) return;
        for (const said of await answer.json()) hear(said.sku, said);
        show();
      } catch { /* the next look may work */ }
    };
    let heard = 0;
    setInterval(look, 4000);
    document.body.addEventListener("htmx:afterRequest", e => { if (e.detail.elt.id === "buy") show(); });
    document.body.addEventListener("htmx:afterSwap", e => {
      if (e.detail.target.id !== "drawer-body") return;
      heard = Date.now();
      for (const line of all("[data-sku]", drawer)) hear(line.dataset.sku, line.dataset);
      show();
    });
    show(); // a browser that comes back may have chosen again what was chosen
  }

  tick();
  offer();
  setInterval(() => { tick(); offer(); }, 1000);
})();
