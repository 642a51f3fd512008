// Elements made from data. Text goes in as text: nothing here, or anywhere on the page, reads a string as markup.

const SVG = "http://www.w3.org/2000/svg";
const FORBIDDEN = new Set(["style", "srcdoc", "src", "action", "formaction"]);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "css") for (const [key, x] of Object.entries(value)) node.style.setProperty(key, x);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "href" && !String(value).startsWith("#")) throw new Error("links lead within this page");
    else if (FORBIDDEN.has(name) || name.startsWith("on")) throw new Error(`no element has ${name} here`);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

export function add(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

// el("p.soft.big", {title: "..."}, children...)
export function el(kind, attributes = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  return fill(node, attributes, children);
}

export function svg(kind, attributes = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const node = document.createElementNS(SVG, name);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  return fill(node, attributes, children);
}

export function put(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

export function badge(text, kind = "", title = null) {
  return el("span.badge" + (kind ? "." + kind : ""), { title }, text);
}

export function verdict(solved) {
  if (solved === null || solved === undefined) return badge("not judged");
  return solved ? badge("✓ right", "yes") : badge("✗ wrong", "no");
}

// Text whose parts between backticks are code.
export function coded(text) {
  return text.split("`").map((part, k) => (k % 2 ? el("code", {}, part) : part));
}

export function table(heads, rows, label, kind = "") {
  const top = el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)));
  const body = rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((c) => el("td", {}, c))));
  const inner = el("table" + (kind ? "." + kind : ""), {}, el("thead", {}, top), el("tbody", {}, body));
  return el("div.scroll", { role: "region", "aria-label": label, tabindex: 0 }, inner);
}

export function fold(summary, ...children) {
  return el("details", {}, el("summary", {}, summary), children);
}

export function notes(texts) {
  return texts && texts.length ? el("div.notes", { role: "note" }, texts.map((t) => el("p", {}, t))) : null;
}
