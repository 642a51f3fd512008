// Questions to the server this page came from.

export class Told extends Error {}

export async function ask(path, query = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined && value !== "") words.set(name, value);
  const tail = words.size ? `?${words}` : "";
  let answer;
  try {
    answer = await fetch(`/api/${path}${tail}`, { credentials: "same-origin" });
  } catch {
    throw new Told("The server does not answer. Is `sharpen view` still running?");
  }
  let data;
  try {
    data = await answer.json();
  } catch {
    throw new Told(`The server could not answer (${answer.status}).`);
  }
  if (!answer.ok) throw new Told(data.error || `The server refused (${answer.status}).`);
  return data;
}

// The metrics of a run as they grow: each look fetches only lines that were appended.
export class Tail {
  constructor(run, what = "metrics") {
    this.run = run;
    this.what = what;
    this.records = [];
    this.broken = [];
    this.next = 0;
    this.mark = "";
  }

  // Whether anything is new.
  async look() {
    let changed = false;
    for (;;) {
      const chunk = await ask(`runs/${this.run}/${this.what}`, { from: this.next, mark: this.mark });
      if (chunk.start === 0 && this.next > 0) {
        this.records = [];
        this.broken = [];
        changed = true;
      }
      // a loop, for a spread of too many is refused
      for (const record of chunk.records) this.records.push(record);
      this.broken.push(...chunk.broken.slice(0, 20));
      changed ||= chunk.records.length > 0 || chunk.broken.length > 0;
      this.next = chunk.next;
      this.mark = chunk.mark;
      if (!chunk.more) return changed;
    }
  }
}

// Do something again and again while a view is shown and the page is seen; `stop()` of the result ends it.
export function every(seconds, act) {
  let timer = null;
  let stopped = false;
  const again = async () => {
    if (!document.hidden) {
      try {
        await act();
      } catch {
        // the next round may find the server again; what is on the page stays
      }
    }
    if (!stopped) timer = setTimeout(again, seconds * 1000);
  };
  timer = setTimeout(again, seconds * 1000);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
