// Sorting, filtering, notes and the gallery of a page. Works from disk; asks the network for nothing.
"use strict";

(function () {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // ---- sorting: what has no value comes last whichever way, pinned rows stay below all others

  function orderOf(row, column) {
    const told = row.cells[column].dataset.order;
    if (told === undefined || told === "") return null;
    const number = Number(told);
    return Number.isNaN(number) ? told : number;
  }

  function compare(first, second) {
    if (typeof first === "number" && typeof second === "number") return first - second;
    return collator.compare(String(first), String(second));
  }

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const sign = direction === "descending" ? -1 : 1;
    rows.sort(function (a, b) {
      const pinned = a.classList.contains("pinned") - b.classList.contains("pinned");
      if (pinned) return pinned;
      if (direction === "none") return a.dataset.number - b.dataset.number;
      const first = orderOf(a, column), second = orderOf(b, column);
      if (first === null || second === null) {
        return (first === null) - (second === null) || a.dataset.number - b.dataset.number;
      }
      return sign * compare(first, second) || a.dataset.number - b.dataset.number;
    });
    body.append(...rows);
    all(".headings th", table).forEach(function (heading, index) {
      heading.setAttribute("aria-sort", index === column ? direction : "none");
    });
  }

  function sortable(table) {
    Array.from(table.tBodies[0].rows).forEach((row, number) => (row.dataset.number = number));
    all(".headings th", table).forEach(function (heading, column) {
      const button = heading.querySelector(".sort");
      button.addEventListener("click", function () {
        const first = button.dataset.first;
        const other = first === "ascending" ? "descending" : "ascending";
        const now = heading.getAttribute("aria-sort");
        sort(table, column, now === "none" ? first : now === first ? other : "none");
      });
    });
  }

  // ---- filtering

  function filterable(form) {
    const table = document.getElementById(form.dataset.for);
    const rows = Array.from(table.tBodies[0].rows);
    const count = form.querySelector(".count");
    const field = (name) => (form.elements[name] ? form.elements[name].value : "");
    function filter() {
      const words = field("text").toLowerCase().split(/\s+/).filter(Boolean);
      const state = field("state"), provenance = field("provenance");
      let shown = 0;
      rows.forEach(function (row) {
        const text = row.dataset.words.toLowerCase();
        const fits =
          words.every((word) => text.includes(word)) &&
          (!state || row.dataset.states.split("|").includes(state)) &&
          (!provenance || row.dataset.provenance === provenance);
        row.hidden = !fits;
        shown += fits;
      });
      count.textContent = shown === rows.length ? rows.length + " rows" : shown + " of " + rows.length + " rows";
      rove(table);
    }
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    filter();
  }

  // ---- notes: one stop of the Tab key for each table, arrow keys inside it

  const cellsOf = (row) => all(".cell", row);

  function rove(table, chosen) {
    const cells = all("tbody tr:not([hidden]) .cell", table);
    const kept = chosen || cells.find((cell) => cell.tabIndex === 0) || cells[0];
    all("tbody .cell", table).forEach((cell) => (cell.tabIndex = cell === kept ? 0 : -1));
  }

  function neighbour(cell, key) {
    const row = cell.closest("tr"), cells = cellsOf(row), place = cells.indexOf(cell);
    if (key === "ArrowLeft") return cells[place - 1];
    if (key === "ArrowRight") return cells[place + 1];
    if (key === "Home") return cells[0];
    if (key === "End") return cells[cells.length - 1];
    const down = key === "ArrowDown";
    const column = cell.parentElement.cellIndex;
    for (let other = row; (other = down ? other.nextElementSibling : other.previousElementSibling); ) {
      if (other.hidden) continue;
      const found = other.cells[column].querySelector(".cell");
      if (found) return found;
    }
    return undefined;
  }

  function notes() {
    const source = document.getElementById("cell-notes");
    if (!source) return;
    const known = JSON.parse(source.textContent);
    const box = document.getElementById("note");
    let opened = null, kept = false, entering = 0, leaving = 0;

    function hide() {
      clearTimeout(entering);
      clearTimeout(leaving);
      if (opened) {
        opened.classList.remove("open");
        opened.removeAttribute("aria-describedby");
        opened.setAttribute("aria-expanded", "false");
      }
      opened = null;
      kept = false;
      box.classList.remove("kept");
      box.hidden = true;
    }

    function place(cell) {
      if (getComputedStyle(box).position === "fixed") {
        box.style.left = box.style.top = "";
        return;
      }
      const at = cell.getBoundingClientRect(), size = box.getBoundingClientRect();
      const room = document.documentElement.clientWidth;
      const left = Math.max(8, Math.min(at.left, room - size.width - 8));
      const above = at.bottom + size.height + 10 > window.innerHeight && at.top > size.height + 10;
      box.style.left = left + window.scrollX + "px";
      box.style.top = (above ? at.top - size.height - 6 : at.bottom + 6) + window.scrollY + "px";
    }

    function headingOf(cell) {
      const row = cell.closest("tr"), td = cell.parentElement;
      const label = row.cells[0].textContent.trim();
      if (td.cellIndex === 0) return label;
      const heading = cell.closest("table").querySelector(".headings").cells[td.cellIndex];
      return label + " · " + heading.textContent.trim();
    }

    function show(cell, keep) {
      clearTimeout(entering);
      clearTimeout(leaving);
      if (opened !== cell) hide();
      opened = cell;
      kept = kept || Boolean(keep);
      box.querySelector(".of").textContent = headingOf(cell);
      const list = box.querySelector("dl");
      list.replaceChildren();
      known[cell.id].forEach(function (line) {
        const term = document.createElement("dt"), text = document.createElement("dd");
        term.textContent = line[0];
        text.textContent = line[1];
        list.append(term, text);
      });
      cell.classList.add("open");
      cell.setAttribute("aria-describedby", "note");
      cell.setAttribute("aria-expanded", String(kept));
      box.classList.toggle("kept", kept);
      box.hidden = false;
      place(cell);
    }

    // a pointer opens the note of the cell it rests on: one opened in passing would cover the cells below
    function enter(cell) {
      clearTimeout(entering);
      if (opened === cell) clearTimeout(leaving);
      else entering = setTimeout(() => kept || show(cell), 100);
    }
    function leave() {
      clearTimeout(entering);
      clearTimeout(leaving);
      leaving = setTimeout(() => kept || document.activeElement === opened || hide(), 150);
    }
    all("tbody .cell").forEach(function (cell) {
      cell.setAttribute("aria-expanded", "false");
      cell.addEventListener("mouseenter", () => enter(cell));
      cell.addEventListener("mouseleave", leave);
      cell.addEventListener("focus", function () {
        rove(cell.closest("table"), cell);
        if (!(kept && opened === cell)) show(cell);
      });
      cell.addEventListener("blur", leave);
      cell.addEventListener("click", function () {
        if (kept && opened === cell) hide();
        else show(cell, true);
      });
      cell.addEventListener("keydown", function (event) {
        const to = /^(Arrow|Home|End)/.test(event.key) && neighbour(cell, event.key);
        if (!to) return;
        event.preventDefault();
        hide();
        to.focus({ preventScroll: true });
        to.scrollIntoView({ block: "nearest", inline: "nearest" });
        show(to);
      });
    });
    box.addEventListener("mouseenter", () => clearTimeout(leaving));
    box.addEventListener("mouseleave", leave);
    box.querySelector(".close").addEventListener("click", function () {
      const cell = opened;
      hide();
      if (cell) { cell.focus(); hide(); }
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    document.addEventListener("click", function (event) {
      if (opened && !box.contains(event.target) && !event.target.closest(".cell")) hide();
    });
    all("table.sortable").forEach((table) => rove(table));
  }

  // ---- the rows that are shown, as CSV

  function shownAsCsv(button) {
    const table = document.getElementById(button.dataset.for);
    const quoted = (text) => '"' + text.replace(/"/g, '""') + '"';
    function text(cell) {
      const copy = cell.cloneNode(true);
      all(".unseen", copy).forEach((part) => part.remove());
      return copy.textContent.trim().replace(/\s+/g, " ");
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      const groups = [];
      const above = table.querySelector(".groups");
      if (above) Array.from(above.cells).forEach((cell) => { for (let i = 0; i < cell.colSpan; i++) groups.push(text(cell)); });
      const lines = [Array.from(table.querySelector(".headings").cells, (cell, i) => (groups[i] ? groups[i] + ": " : "") + text(cell))];
      all("tbody tr:not([hidden])", table).forEach((row) => lines.push(Array.from(row.cells, text)));
      const csv = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["\ufeff" + csv], { type: "text/csv" }));
      link.download = button.dataset.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  // ---- the gallery: any two pictures of a sample on both sides of a boundary

  function gallery(section) {
    const stage = section.querySelector(".stage");
    const under = stage.querySelector(".under"), over = stage.querySelector(".over"), frame = stage.querySelector(".frame");
    const left = stage.querySelector("select.left"), right = stage.querySelector("select.right");
    const range = stage.querySelector("input[type=range]"), told = stage.querySelector(".told");
    const tiles = all(".tile", section), samples = Number(stage.dataset.samples);
    let sample = 0;
    const tile = (column) => tiles.find((item) => item.dataset.sample === String(sample) && item.dataset.column === String(column));

    function put(picture, column) {
      const found = tile(column);
      const source = found && found.querySelector("img");
      picture.hidden = !source;
      if (!source) return "not generated";
      picture.src = source.getAttribute("src");
      picture.alt = source.alt;
      picture.width = source.width;
      picture.classList.toggle("pixelated", source.classList.contains("pixelated"));
      return "";
    }

    function draw() {
      const missing = [put(under, left.value), put(over, right.value)];
      tiles.forEach((item) => item.classList.toggle("shown", item === tile(left.value) || item === tile(right.value)));
      const named = tiles.find((item) => item.dataset.sample === String(sample));
      const names = [left, right].map((menu, i) => menu.selectedOptions[0].textContent + (missing[i] ? " (" + missing[i] + ")" : ""));
      told.textContent = "Sample " + (sample + 1) + " of " + samples + (named ? ", " + named.dataset.name : "") + ": " + names.join(" | ");
      all(".legend li", section).forEach(function (item) {
        item.classList.toggle("absent", !item.dataset.samples.split(" ").includes(String(sample)));
      });
    }

    function cut() { frame.style.setProperty("--cut", range.value + "%"); }
    function go(by) { sample = (sample + by + samples) % samples; draw(); }
    function drag(event) {
      const box = frame.getBoundingClientRect();
      range.value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
      cut();
    }

    const any = tiles.length ? tiles[0].querySelector("img") : null;
    if (any) frame.style.aspectRatio = any.getAttribute("width") + " / " + any.getAttribute("height");
    const pair = stage.dataset.pair.split(" ");
    left.value = pair[0];
    right.value = pair[1];
    left.addEventListener("change", draw);
    right.addEventListener("change", draw);
    range.addEventListener("input", cut);
    stage.querySelector(".previous").addEventListener("click", () => go(-1));
    stage.querySelector(".next").addEventListener("click", () => go(1));
    frame.addEventListener("dragstart", (event) => event.preventDefault());
    frame.addEventListener("pointerdown", function (event) { frame.setPointerCapture(event.pointerId); drag(event); });
    frame.addEventListener("pointermove", (event) => event.buttons && drag(event));
    tiles.forEach(function (item) {
      item.addEventListener("click", function () {
        sample = Number(item.dataset.sample);
        right.value = item.dataset.column;
        draw();
      });
    });
    const legend = section.querySelector(".legend");
    if (legend) stage.querySelector(".controls").append(legend);
    stage.hidden = false;
    cut();
    draw();
  }

  document.addEventListener("DOMContentLoaded", function () {
    all("table.sortable").forEach(sortable);
    all("form.tools").forEach(filterable);
    notes();
    all(".shown-csv").forEach(shownAsCsv);
    all(".gallery").forEach(gallery);
    all(".hint").forEach((hint) => (hint.hidden = false));
  });
})();
