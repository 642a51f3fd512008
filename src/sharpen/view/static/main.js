// Which view an address after # shows, and the keys all views share.

import { ask } from "./api.js";
import { el, put } from "./dom.js";
import * as curves from "./curves.js";
import * as evaluation from "./evaluation.js";
import * as group from "./group.js";
import * as overview from "./overview.js";
import * as recipe from "./recipe.js";
import * as rollouts from "./rollouts.js";
import * as runs from "./runs.js";
import * as timeline from "./timeline.js";
import * as trace from "./trace.js";
import * as tree from "./tree.js";

const ROUTES = [
  [/^\/$/, runs, []],
  [/^\/curves$/, curves, []],
  [/^\/run\/(\d+)$/, overview, ["run"]],
  [/^\/run\/(\d+)\/curves$/, curves, ["run"]],
  [/^\/run\/(\d+)\/rollouts$/, rollouts, ["run"]],
  [/^\/run\/(\d+)\/rollouts\/(\d+)\/(\d+)$/, group, ["run", "step", "group"]],
  [/^\/run\/(\d+)\/rollouts\/(\d+)\/(\d+)\/tree$/, tree, ["run", "step", "group"]],
  [/^\/run\/(\d+)\/rollouts\/(\d+)\/(\d+)\/(\d+)$/, trace, ["run", "step", "group", "trace"]],
  [/^\/run\/(\d+)\/rollouts\/(\d+)\/(\d+)\/(\d+)\/turns$/, timeline, ["run", "step", "group", "trace"]],
  [/^\/run\/(\d+)\/evaluation$/, evaluation, ["run"]],
  [/^\/run\/(\d+)\/recipe$/, recipe, ["run"]],
];
const TABS = [["", "Overview"], ["/curves", "Curves"], ["/rollouts", "Rollouts"], ["/evaluation", "Evaluation"], ["/recipe", "Recipe"]];

const main = document.getElementById("main");
const top_ = document.getElementById("top");
const alerts = document.getElementById("alerts");
let current = null;
let turn = 0;
const names = new Map();

function parsed() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  return [path || "/", new URLSearchParams(query)];
}

async function nameOf(run) {
  if (!names.has(run)) {
    const all = (await ask("runs")).runs;
    for (const r of all) names.set(String(r.id), r.folder);
  }
  return names.get(run) || `run ${run}`;
}

function head(path, params, name) {
  const home = el("a.home", { href: "#/", "aria-current": path === "/" ? "page" : null }, "sharpen");
  const parts = [home];
  if (params.run !== undefined) {
    const base = `/run/${params.run}`;
    const tabs = TABS.map(([tail, label]) => {
      const here = tail ? path.startsWith(base + tail) : path === base;
      return el("a", { href: `#${base}${tail}`, "aria-current": here ? "page" : null }, label);
    });
    parts.push(el("span.where", { title: name }, name), el("nav", { "aria-label": "Views of the run" }, tabs));
  } else {
    parts.push(el("nav", { "aria-label": "Views" }, el("a", { href: "#/curves", "aria-current": path === "/curves" ? "page" : null }, "Curves")));
  }
  parts.push(el("button.help", { type: "button", "aria-label": "Keys", title: "Keys (?)", on: { click: help } }, "?"));
  put(top_, parts);
}

async function show() {
  const mine = ++turn;
  if (current && current.stop) current.stop();
  current = null;
  closeHelp();
  const [path, query] = parsed();
  const found = ROUTES.map(([pattern, view, keys]) => [path.match(pattern), view, keys]).find(([m]) => m);
  if (!found) {
    head(path, {}, "");
    put(main, el("p.error", {}, "There is no such view. "), el("a", { href: "#/" }, "All runs"));
    return;
  }
  const [match, view, keys] = found;
  const params = Object.fromEntries(keys.map((k, i) => [k, match[i + 1]]));
  // a view is drawn beside the page and put in whole, so that a slow one never mixes with the next
  const box = el("div.view");
  try {
    const name = params.run === undefined ? "" : await nameOf(params.run);
    if (mine !== turn) return;
    head(path, params, name);
    document.title = [view.title, name, "sharpen"].filter(Boolean).join(" · ");
    const shown = await view.show(box, params, query, name);
    if (mine !== turn) {
      if (shown && shown.stop) shown.stop();
      return;
    }
    current = shown || {};
    put(main, box);
    alerts.textContent = `${view.title} shown`;
  } catch (error) {
    if (mine !== turn) return;
    put(main, el("p.error", { role: "alert" }, error.message), el("p", {}, el("a", { href: "#/" }, "All runs")));
  }
  main.dataset.shown = path;
  window.scrollTo(0, 0);
}

const COMMON = { "?": "this list", Esc: "back: leave a field, close this list, or go up", "r": "all runs" };

function help() {
  if (closeHelp()) return;
  const keys = { ...((current && current.help) || {}), ...COMMON };
  const rows = Object.entries(keys).flatMap(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)]);
  const box = el("div.keys", { id: "keys", role: "dialog", "aria-label": "Keys", tabindex: -1 }, el("h2", {}, "Keys"), el("dl", {}, rows));
  document.body.append(box);
  box.focus();
}

function closeHelp() {
  const box = document.getElementById("keys");
  if (box) box.remove();
  return box !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const field = event.target instanceof Element && event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (closeHelp()) return;
    if (field) {
      field.blur();
      event.preventDefault(); // the browser would empty a search field, and tell nobody
    } else if (current && current.up) location.hash = current.up;
    return;
  }
  if (field && field.type !== "checkbox" && field.type !== "range") return;
  if (event.key === "?") help();
  else if (event.key === "r") location.hash = "#/";
  else if (current && current.keys && current.keys[event.key]) current.keys[event.key](event);
  else return;
  event.preventDefault();
});

window.addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
