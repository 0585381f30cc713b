"use strict";
// One rater answers one list ("place"). Every answer is kept in localStorage at once; nothing is sent anywhere.
(() => {
  const DATA = window.HUMAN_STUDY;
  const PREFIX = `human-study/${DATA.study}/`;
  const FIELDS = ["study", "place", "rater", "question", "position", "choice", "seconds", "answered_at"];
  const RATER_PARAMETERS = ["rater", "PROLIFIC_PID", "workerId"];
  const LEAST_SHOWN_PX = 320;
  const PRELOADED = 2;

  const $ = (id) => document.getElementById(id);
  const show = (id) => { for (const one of ["start", "asking", "end"]) $(one).hidden = one !== id; };
  const image = (name) => `images/${name}`;

  // Where answers are kept; in memory alone where the browser refuses to.
  const memory = new Map();
  let keeps = true;
  const keep = {
    get(key) {
      try { return localStorage.getItem(key) ?? memory.get(key) ?? null; } catch { return memory.get(key) ?? null; }
    },
    set(key, value) {
      memory.set(key, value);
      try { localStorage.setItem(key, value); } catch { keeps = false; $("keeps-nothing").hidden = false; }
    },
    keys() {
      const found = new Set(memory.keys());
      try { for (let i = 0; i < localStorage.length; i++) found.add(localStorage.key(i)); } catch { keeps = false; }
      return [...found].filter((key) => key.startsWith(PREFIX)).sort();
    },
  };

  const session = { rater: "", place: "", list: [], answers: {}, at: 0, begun: 0, ready: false, timer: 0 };
  const keyOf = (place, rater) => `${PREFIX}${place}/${rater}`;
  const read = (key) => { try { return JSON.parse(keep.get(key)) || {}; } catch { return {}; } };
  const answered = () => session.list.filter(([id]) => id in session.answers).length;

  function begin(rater, place) {
    Object.assign(session, { rater, place, list: DATA.places[place], answers: read(keyOf(place, rater)) });
    keep.set(keyOf(place, rater), JSON.stringify(session.answers));
    const open = session.list.findIndex(([id]) => !(id in session.answers));
    if (open < 0) finish(); else ask(open);
  }

  function ask(position) {
    clearTimeout(session.timer);
    session.at = position;
    session.ready = false;
    show("asking");
    const [id, swapped] = session.list[position];
    const [map, first, second, classes] = DATA.questions[id];
    const pair = swapped ? [second, first] : [first, second];
    const given = session.answers[id];
    for (const [side, name] of [["left", pair[0]], ["right", pair[1]]]) {
      const button = $(side);
      button.disabled = true;
      button.classList.toggle("taken", given !== undefined && given.choice === side);
      button.querySelector(".picture").className = "picture loading";
      button.querySelector("img").src = image(name);
    }
    $("map").querySelector("img").src = image(map);
    $("legend").replaceChildren(...classes.map((label) => {
      const [name, colour] = DATA.classes[label];
      const entry = document.createElement("li");
      const patch = document.createElement("i");
      patch.style.background = colour;
      entry.append(patch, name);
      return entry;
    }));
    const of = session.list.length;
    $("count").textContent = `${position + 1} of ${of}`;
    $("bar").setAttribute("aria-valuemax", of);
    $("bar").setAttribute("aria-valuenow", answered());
    $("bar").firstElementChild.style.width = `${(100 * answered()) / of}%`;
    $("back").disabled = position === 0;
    $("told").textContent = "";
    const pictures = [...$("asking").querySelectorAll("img")];
    Promise.all(pictures.map((one) => one.decode())).then(() => {
      if (session.at === position && !$("asking").hidden) ready(position);
    }, () => {
      if (session.at === position) $("told").textContent = "A picture cannot be shown. Please reload the page; your answers are kept.";
    });
  }

  // Both pictures appear at the same moment, and from then on the time counts.
  function ready(position) {
    session.ready = true;
    session.begun = performance.now();
    for (const side of ["left", "right"]) {
      $(side).disabled = false;
      $(side).querySelector(".picture").className = "picture";
    }
    if (DATA.timeLimit) {
      session.timer = setTimeout(() => {
        for (const side of ["left", "right"]) $(side).querySelector(".picture").className = "picture away";
        $("told").textContent = "Time is up: answer from what you saw.";
      }, 1000 * DATA.timeLimit);
    }
    for (let next = position + 1; next <= position + PRELOADED && next < session.list.length; next++) {
      for (const name of DATA.questions[session.list[next][0]].slice(0, 3)) new Image().src = image(name);
    }
  }

  function choose(side) {
    if (!session.ready || $("asking").hidden) return;
    const [id] = session.list[session.at];
    session.answers[id] = {
      choice: side,
      seconds: Math.round(performance.now() - session.begun) / 1000,
      at: new Date().toISOString(),
    };
    keep.set(keyOf(session.place, session.rater), JSON.stringify(session.answers));
    if (session.at + 1 < session.list.length) ask(session.at + 1); else finish();
  }

  function back() { if (session.at > 0) ask(session.at - 1); }

  function finish() {
    clearTimeout(session.timer);
    session.ready = false;
    const open = session.list.findIndex(([id]) => !(id in session.answers));
    if (open >= 0) { ask(open); return; }
    show("end");
    $("done-told").textContent = `All ${session.list.length} questions are answered.`;
    $("csv").value = csv();
  }

  const quoted = (value) => {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  function csv() {
    const lines = [FIELDS];
    session.list.forEach(([id], index) => {
      const given = session.answers[id];
      if (given) lines.push([DATA.study, session.place, session.rater, id, index + 1, given.choice, given.seconds, given.at]);
    });
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = `answers-${DATA.study}-${session.place}-${session.rater.replace(/[^A-Za-z0-9_-]+/g, "_")}.csv`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  function listResumable() {
    const entries = keep.keys().map((key) => {
      const [place, ...rest] = key.slice(PREFIX.length).split("/");
      return { place, rater: rest.join("/"), done: Object.keys(read(key)).length };
    }).filter(({ place, rater }) => place in DATA.places && rater);
    $("resume").hidden = entries.length === 0;
    $("resumable").replaceChildren(...entries.map(({ place, rater, done }) => {
      const entry = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${rater}, list ${place}: ${done} of ${DATA.places[place].length} answered`;
      button.addEventListener("click", () => begin(rater, place));
      entry.append(button);
      return entry;
    }));
  }

  function start() {
    const asked = new URLSearchParams(location.search);
    for (const one of document.querySelectorAll(".ask")) one.textContent = DATA.ask;
    const [height, width] = DATA.size;
    const factor = Math.max(1, Math.ceil(LEAST_SHOWN_PX / Math.max(height, width)));
    document.documentElement.style.setProperty("--shown", `${factor * width}px`);
    document.documentElement.style.setProperty("--ratio", width / height);
    document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
    $("time-told").textContent = DATA.timeLimit
      ? `Each pair is shown for ${DATA.timeLimit} s; then it disappears, and you answer from what you saw.`
      : "Take as much time as you like.";
    $("place").replaceChildren(...Object.entries(DATA.places).map(([place, list]) => {
      const option = document.createElement("option");
      option.value = place;
      option.textContent = `${place} (${list.length} questions)`;
      return option;
    }));
    const place = asked.get("place");
    const known = place !== null && place in DATA.places;
    if (known) $("place").value = place;
    else if (place !== null) $("start-problem").textContent = `The link asks for list ${place}, and this study has none of that name.`;
    $("place").parentElement.hidden = known || Object.keys(DATA.places).length === 1;
    $("rater").value = RATER_PARAMETERS.map((name) => asked.get(name)).find(Boolean) ?? "";
    listResumable();
    show("start");
  }

  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const rater = $("rater").value.trim();
    if (!rater) { $("start-problem").textContent = "Please give a name or code first."; return; }
    begin(rater, $("place").value);
  });
  $("left").addEventListener("click", () => choose("left"));
  $("right").addEventListener("click", () => choose("right"));
  $("back").addEventListener("click", back);
  $("review").addEventListener("click", () => ask(session.list.length - 1));
  $("save").addEventListener("click", save);
  $("save-part").addEventListener("click", save);
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || $("asking").hidden) return;
    if (event.key === "ArrowLeft") { event.preventDefault(); choose("left"); }
    else if (event.key === "ArrowRight") { event.preventDefault(); choose("right"); }
    else if (event.key === "Backspace") { event.preventDefault(); back(); }
  });
  start();
})();
