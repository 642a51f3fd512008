// A recipe as boxes, source to updates, and what is not as in its parent.

import { ask } from "./api.js";
import { badge, coded, el, fold, put } from "./dom.js";

export const title = "Recipe";

const LEGEND = [["same", "as there"], ["changed", "changed"], ["added", "added"], ["removed", "removed"]];

export async function show(box, params) {
  const data = await ask(`runs/${params.run}/recipe`);
  const picture = el("div.picture");
  const lines = el("div");
  const draw = (k) => {
    const against = data.against[k];
    put(picture, (against ? against.recipes : data.recipes).map((r) => recipe(r, data.recipes.length > 1)));
    put(lines, against ? el("section.card", {}, el("h2", {}, `Difference from ${against.what}, ${against.name}`), against.lines.length ? el("ul.lines", {}, against.lines.map((l) => el("li", {}, el("code", {}, l)))) : el("p.soft", {}, "None: they do the same.")) : null);
  };
  const choice = data.against.length
    ? el("div.controls", {}, el("label", { for: "against" }, "compared with ", el("select", { id: "against" }, el("option", { value: "-1" }, "nothing"), data.against.map((a, k) => el("option", { value: k }, `${a.what}: ${a.name}`)))), el("span.marks", {}, LEGEND.map(([mark, text]) => el(`span.mark.${mark}`, {}, text))))
    : null;
  const origins = Object.entries(data.origins);
  put(
    box,
    el("h1", {}, `Recipe ${data.name}`),
    data.about ? el("p", {}, data.about) : null,
    data.source ? el("p.soft", {}, data.source) : null,
    choice,
    data.recipes.length ? picture : el("p.soft", {}, "This recipe holds parts of your own, whose code is not imported to look at it; it stands below as text."),
    lines,
    data.composition ? fold("As text", el("pre.code", {}, data.composition)) : null,
    origins.length ? fold("Where the values come from", el("dl.origins", {}, origins.map(([k, v]) => [el("dt", {}, el("code", {}, k)), el("dd", {}, coded(v))]))) : null,
  );
  const select = choice && choice.querySelector("select");
  if (select) {
    select.value = "0";
    select.addEventListener("change", () => draw(Number(select.value)));
  }
  draw(0);
  const turn = () => {
    if (!select) return;
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    draw(Number(select.value));
  };
  return { up: `#/run/${params.run}`, keys: { c: turn }, help: { c: "compare with its parent, the built-in recipe, or nothing" } };
}

function recipe(r, named) {
  const lane = (name, boxes, arrow = true) => (boxes.length ? [el("section.lane", {}, el("h3", {}, name), el("div.boxes", {}, boxes.map(part))), arrow ? el("div.arrow", { "aria-hidden": "true" }, "→") : null] : []);
  return el(
    "div.recipe",
    {},
    named ? el("h2", {}, r.name) : null,
    el("div.flow", {}, lane("source", r.source), lane("collect", r.collect), lane("update", r.updates, false)),
    el("div.flow.below", {}, lane("actors", r.actors, false), lane("loop", r.loop, false)),
  );
}

function part(b) {
  const fields = b.fields.map((f) => el(`div.field${f.was === null ? "" : ".changed"}`, {}, el("span.name", {}, f.name), el("span.value", {}, f.was === null ? f.value : [el("s", {}, f.was), " ", f.value])));
  const word = b.mark === "same" ? null : el("span.word", {}, b.mark);
  const title_ = b.title !== b.kind && !b.title.startsWith("train ") ? [b.title, " ", el("span.soft", {}, b.kind)] : b.title;
  return el(`div.box.${b.mark}`, { title: b.about || null }, el("h4", {}, el("span", {}, title_), word), fields, b.inner.length ? el("div.inner", {}, b.inner.map(part)) : null);
}
