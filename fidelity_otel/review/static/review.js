// The review page by keyboard alone. Without this file the page still works, by mouse and Tab.
"use strict";
(() => {
  const form = document.getElementById("judge");
  if (!form) return;
  const byId = (id) => document.getElementById(id);
  const status = byId("status");
  const modes = byId("modes");
  const draftKey = `fidelity-draft-${form.dataset.lease ? "new" : "again"}-${form.dataset.item}`;
  let choosing = false; // after f: the next letter names a failure mode
  let sending = false;

  const tell = (text, bad = false) => {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  };
  const chosen = (name) => form.querySelector(`input[name="${name}"]:checked`);
  const choose = (name, key) => {
    const input = form.querySelector(`input[name="${name}"][data-key="${CSS.escape(key)}"]`);
    if (!input) return false;
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  const openModes = (open) => {
    choosing = open;
    modes.open = open;
    if (open) {
      modes.scrollIntoView({ block: "nearest" });
      tell("What went wrong? Press its letter, 0 for none, Esc to go back.");
    }
  };

  // What was typed survives a reload and a lease that ran out.
  const fields = ["note", "correction"];
  const keep = () => {
    const draft = { verdict: chosen("verdict")?.value ?? "", mode: chosen("mode")?.value ?? "" };
    for (const name of fields) draft[name] = byId(name).value;
    try { sessionStorage.setItem(draftKey, JSON.stringify(draft)); } catch { /* full or forbidden */ }
  };
  const restore = () => {
    let draft = null;
    try { draft = JSON.parse(sessionStorage.getItem(draftKey) ?? "null"); } catch { return; }
    if (!draft) return;
    for (const name of fields) if (!byId(name).value) byId(name).value = draft[name] ?? "";
    for (const name of ["verdict", "mode"]) {
      const input = [...form.querySelectorAll(`input[name="${name}"]`)].find((i) => i.value === draft[name]);
      if (input && draft[name] && !(chosen(name)?.value)) input.checked = true;
    }
  };
  restore();
  const showMode = () => { byId("mode-chosen").textContent = chosen("mode")?.dataset.title ?? ""; };
  showMode();
  form.addEventListener("input", keep);
  form.addEventListener("change", (event) => {
    keep();
    if (event.target.name === "mode") showMode();
  });

  const send = () => {
    if (sending) return;
    if (!chosen("verdict")) { tell("Choose a verdict first: keys 1 to 4.", true); return; }
    form.requestSubmit();
  };
  form.addEventListener("submit", (event) => {
    if (!chosen("verdict")) { event.preventDefault(); tell("Choose a verdict first: keys 1 to 4.", true); return; }
    if (sending) { event.preventDefault(); return; }
    sending = true;
    tell("Sending…");
    try { sessionStorage.removeItem(draftKey); } catch { /* forbidden */ }
  });
  // Back from the next page: the button must work again.
  window.addEventListener("pageshow", () => { sending = false; });

  const skipping = byId("skip-dialog");
  const helping = byId("help-dialog");
  const dialog = (which) => { if (!which.open) which.showModal(); };
  byId("skip")?.addEventListener("click", () => dialog(skipping));
  byId("help").addEventListener("click", () => dialog(helping));

  const steps = [...document.querySelectorAll(".step")];
  let at = -1;
  const goTo = (index) => {
    if (!steps.length) return;
    at = Math.max(0, Math.min(steps.length - 1, index));
    steps.forEach((s, i) => s.classList.toggle("at", i === at));
    steps[at].scrollIntoView({ block: "nearest" });
  };

  const inText = (element) => element?.matches?.("textarea, input[type=text], select");
  const plain = {
    f: () => openModes(!choosing),
    n: () => byId("note").focus(),
    c: () => byId("correction").focus(),
    s: () => { if (byId("skip")) dialog(skipping); },
    u: () => byId("change")?.click(),
    "?": () => dialog(helping),
    j: () => goTo(at + 1),
    k: () => goTo(at < 0 ? 0 : at - 1),
    a: () => goTo(steps.findIndex((s) => s.id === "answer")),
    Enter: send,
  };

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.metaKey) return;
    if (helping.open) {
      if (event.key === "?") { event.preventDefault(); helping.close(); }
      return;
    }
    if (skipping.open) {
      const button = skipping.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
      if (button) { event.preventDefault(); button.click(); }
      return;
    }
    if (inText(document.activeElement)) {
      if (event.key === "Escape") { event.preventDefault(); document.activeElement.blur(); }
      if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); send(); }
      return;
    }
    if (event.ctrlKey) return;
    if (choosing) {
      if (event.key === "Escape") { event.preventDefault(); openModes(false); tell(""); return; }
      if (choose("mode", event.key)) {
        event.preventDefault();
        openModes(false);
        tell(chosen("mode").dataset.title ? "Marked: " + chosen("mode").dataset.title : "");
        return;
      }
      openModes(false);
    }
    if (/^[1-4]$/.test(event.key) && choose("verdict", event.key)) {
      event.preventDefault();
      tell("");
      return;
    }
    // A focused button or link keeps its own Enter.
    if (event.key === "Enter" && document.activeElement?.matches?.("a, button, summary")) return;
    const action = plain[event.key];
    if (action) { event.preventDefault(); action(); }
  });

  // The lease is renewed while the page is open and somebody is at it.
  if (!form.dataset.lease) return; // amending: there is no lease
  const lease = Number(form.dataset.seconds) || 900;
  let touched = Date.now();
  for (const name of ["keydown", "pointermove", "scroll"]) {
    document.addEventListener(name, () => { touched = Date.now(); }, { passive: true });
  }
  setInterval(async () => {
    if (document.hidden || Date.now() - touched > lease * 1000) return;
    try {
      const answer = await fetch(`/api/v1/leases/${form.dataset.lease}/renew`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ reviewer: form.dataset.reviewer }),
      });
      if (answer.status === 409) tell("Your time on this one ran out; sending takes it again if nobody else has it.", true);
    } catch { /* no network: the server says so when the verdict is sent */ }
  }, Math.max(1000, (lease * 1000) / 3));
})();
