"use strict";
document.documentElement.classList.add("js");

// Tabs after the WAI-ARIA pattern; without this script all panels are simply shown.
document.querySelectorAll("[data-tabs]").forEach((box, number) => {
  const panels = [...box.querySelectorAll(":scope > .panel")];
  const list = document.createElement("div");
  list.className = "tablist";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", box.dataset.tabs);
  const buttons = panels.map((panel, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tab-${number}-${i}`;
    button.textContent = panel.dataset.label;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    panel.tabIndex = 0;
    button.addEventListener("click", () => choose(i));
    list.append(button);
    return button;
  });
  const choose = (wanted, focus = false) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === wanted));
      button.tabIndex = i === wanted ? 0 : -1;
      panels[i].hidden = i !== wanted;
    });
    if (focus) buttons[wanted].focus();
  };
  list.addEventListener("keydown", (event) => {
    const now = buttons.findIndex((button) => button.tabIndex === 0);
    const last = buttons.length - 1;
    const next = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now === 0 ? last : now - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next, true);
  });
  box.prepend(list);
  choose(0);
});

// Mark where the reader is in the contents.
const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
if ("IntersectionObserver" in window) {
  const seen = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      links.forEach((link) => link.classList.remove("here"));
      links.get(entry.target.id)?.classList.add("here");
    });
  }, { rootMargin: "-15% 0px -75% 0px" });
  links.forEach((_, id) => { const target = document.getElementById(id); if (target) seen.observe(target); });
}
