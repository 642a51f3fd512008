// Rollouts of a run: filters, an order, pages of a list. The server chooses; only what is shown is fetched.

import { ask, every } from "./api.js";
import { el, notes, put, verdict } from "./dom.js";
import { number, whole } from "./format.js";

export const title = "Rollouts";

const SIZE = 50;
const COLUMNS = [["step", "iteration"], ["problem", "problem"], ["reward", "reward"], ["solved", "verdict"], ["length", "tokens"], ["end", "end"], ["agent", "agent"]];
const FILTERS = ["text", "first", "last", "low", "high", "solved", "end", "agent"];

// The list last looked at, so that a trace knows what comes before and after it.
export const list = { run: null, query: "", rows: [], at: -1 };

export function address(run, row, tail = "") {
  return `#/run/${run}/rollouts/${row.step}/${row.group}/${row.trace}${tail}`;
}

// The row before or after a trace in the list it was opened from.
export function beside(params, by) {
  if (list.run !== params.run) return null;
  const same = (r) => r.step === Number(params.step) && r.group === Number(params.group) && r.trace === Number(params.trace);
  const at = list.rows.findIndex(same);
  return at < 0 ? null : list.rows[at + by] || null;
}

export async function show(box, params, query) {
  const state = Object.fromEntries([...FILTERS, "sort", "down", "offset"].map((k) => [k, query.get(k) || ""]));
  let at = list.run === params.run && list.query === query.toString() ? list.at : -1;
  let data = null;
  const inputs = {};
  const results = el("div.results");
  const count = el("p.soft", { role: "status" });

  const remember = () => {
    const words = new URLSearchParams(Object.entries(state).filter(([, v]) => v !== ""));
    list.query = words.toString();
    history.replaceState(null, "", `#/run/${params.run}/rollouts${words.size ? `?${words}` : ""}`);
  };
  const rows = () => [...results.querySelectorAll("tbody tr")];
  const mark = () => {
    const all = rows();
    at = Math.min(at, all.length - 1);
    list.at = at;
    all.forEach((r, i) => r.classList.toggle("at", i === at));
    return all;
  };
  const move = (by) => {
    at = Math.max(0, at + by);
    const all = mark();
    if (all[at]) all[at].scrollIntoView({ block: "nearest" });
  };
  let asked = 0;
  const look = async (quiet = false) => {
    const mine = ++asked;
    let found;
    try {
      found = await ask(`runs/${params.run}/rollouts`, { ...state, limit: SIZE });
    } catch (error) {
      if (mine === asked && !quiet) put(results, el("p.error", { role: "alert" }, error.message));
      return;
    }
    if (mine !== asked || (quiet && data && found.total === data.total)) return;
    data = found;
    Object.assign(list, { run: params.run, rows: data.rows });
    options(inputs.end, data.ends, state.end, ENDS);
    options(inputs.agent, data.agents, state.agent, {});
    const offset = data.offset;
    count.textContent = data.fit ? `${whole(offset + 1)} to ${whole(Math.min(offset + SIZE, data.fit))} of ${whole(data.fit)}${data.fit < data.total ? ` that fit, ${whole(data.total)} in all` : ""}` : data.total ? `none of ${whole(data.total)} fits` : "no rollouts have been kept yet";
    put(results, notes(data.broken), data.rows.length ? drawn() : null, pager());
    mark();
  };
  const changed = () => {
    state.offset = "";
    at = -1;
    remember();
    look();
  };
  const turn = (by) => {
    const to = Number(state.offset || 0) + by * SIZE;
    if (to < 0 || (data && to >= data.fit)) return;
    state.offset = to ? String(to) : "";
    at = -1;
    remember();
    look();
  };
  const order = (name) => {
    const down = state.sort === name ? state.down !== "yes" : name !== "step" && name !== "problem";
    Object.assign(state, { sort: name, down: down ? "yes" : "" });
    changed();
  };
  const drawn = () => {
    const heads = COLUMNS.map(([name, label]) => {
      const here = (state.sort || "step") === name;
      const arrow = here ? (state.down === "yes" ? " ▼" : " ▲") : "";
      return el("th", { scope: "col", "aria-sort": here ? (state.down === "yes" ? "descending" : "ascending") : null }, el("button.sort", { type: "button", on: { click: () => order(name) } }, label + arrow));
    });
    return el("div.scroll", {}, el("table.rollouts", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, data.rows.map((r) => line(params.run, r)))));
  };
  const pager = () => {
    if (!data || data.fit <= SIZE) return null;
    const first = Number(state.offset || 0) === 0;
    const last = Number(state.offset || 0) + SIZE >= data.fit;
    return el("div.pager", {}, el("button", { type: "button", disabled: first, on: { click: () => turn(-1) } }, "‹ before"), el("button", { type: "button", disabled: last, on: { click: () => turn(1) } }, "after ›"));
  };

  let waiting = null;
  const field = (name, label, input) => {
    inputs[name] = input;
    input.id = `f-${name}`;
    input.value = state[name];
    const late = input.type === "search" || input.type === "number";
    input.addEventListener(late ? "input" : "change", () => {
      state[name] = input.value.trim();
      clearTimeout(waiting);
      waiting = setTimeout(changed, late ? 200 : 0);
    });
    return el("label", { for: input.id }, el("span", {}, label), input);
  };
  const figure = (about) => el("input", { type: "number", step: "any", "aria-label": about });
  const pick = (pairs) => el("select", {}, pairs.map(([value, text]) => el("option", { value }, text)));
  const form = el(
    "form.filters",
    { role: "search", on: { submit: (e) => e.preventDefault() } },
    field("text", "problem", el("input", { type: "search", placeholder: "text of the problem" })),
    el("span.pair", {}, field("low", "reward from", figure("reward from")), field("high", "to", figure("reward to"))),
    el("span.pair", {}, field("first", "iteration from", figure("iteration from")), field("last", "to", figure("iteration to"))),
    field("solved", "verdict", pick([["", "any"], ["yes", "right"], ["no", "wrong"]])),
    field("end", "end", pick([["", "any"]])),
    field("agent", "agent", pick([["", "any"]])),
    el("button", { type: "button", on: { click: () => { for (const f of FILTERS) { state[f] = ""; inputs[f].value = ""; } changed(); } } }, "clear"),
  );
  const calibration = el("details", {}, el("summary", {}, "Filters"), form);
  calibration.open = window.innerWidth > 640 || FILTERS.some((f) => state[f]);
  put(box, el("h1", {}, "Rollouts"), calibration, count, results);
  await look();
  remember();
  const timer = every(4, () => look(true));
  return {
    stop: () => timer.stop(),
    up: `#/run/${params.run}`,
    keys: {
      j: () => move(1),
      k: () => move(-1),
      n: () => turn(1),
      p: () => turn(-1),
      g: () => data.rows[at] && (location.hash = `#/run/${params.run}/rollouts/${data.rows[at].step}/${data.rows[at].group}`),
      Enter: (e) => (e.target.closest && e.target.closest("a,button,summary") ? e.target.click() : data.rows[at] && (location.hash = address(params.run, data.rows[at]))),
      "/": () => { calibration.open = true; inputs.text.focus(); inputs.text.select(); },
    },
    help: { "/": "look for a problem", "j / k": "next, previous rollout", Enter: "open it", g: "open its group", "n / p": "next, previous page" },
  };
}

function options(select, values, chosen, words) {
  const known = values.includes(chosen) || !chosen ? values : [...values, chosen];
  if (select.options.length === known.length + 1) return;
  put(select, el("option", { value: "" }, "any"), known.map((v) => el("option", { value: v }, words[v] || v)));
  select.value = chosen;
}

const ENDS = { stop: "finished", length: "truncated", cut: "cut", error: "error" };

function line(run, r) {
  const cell = (label, ...inside) => el("td", { data: { label } }, inside);
  return el(
    "tr",
    {},
    cell("iteration", el("a", { href: `#/run/${run}/rollouts/${r.step}/${r.group}`, title: "its group" }, `${r.step} · ${r.group}.${r.trace}`)),
    el("td.name", { data: { label: "problem" } }, el("a", { href: address(run, r), title: r.problem }, r.prompt || r.problem || "(no text)")),
    cell("reward", number(r.reward)),
    cell("verdict", verdict(r.solved)),
    cell("tokens", String(r.length)),
    cell("end", ENDS[r.end] || r.end),
    cell("agent", r.agent),
  );
}
