"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const size = 50;
  const list = document.getElementById("list");
  const form = document.querySelector(".controls");
  const pages = document.querySelector(".pages");
  const more = document.getElementById("more");
  const collator = new Intl.Collator(undefined, { numeric: true });

  // A row: id, facts, numbers for sorting, alignments; of each system a list of units: a text, or [said, heard].
  const rows = data.rows.map((row, i) => ({
    number: i, id: row[0], facts: row[1], duration: row[2], errors: row[3], length: row[4], confidence: row[5],
    systems: row[6],
  }));
  const total = row => row.errors[0];
  const rate = row => total(row) / Math.max(1, row.length);
  const orders = {
    errors: (a, b) => total(b) - total(a),
    rate: (a, b) => rate(b) - rate(a),
    id: (a, b) => collator.compare(a.id, b.id),
    duration: (a, b) => (b.duration || 0) - (a.duration || 0),
    confidence: (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2),
    difference: (a, b) => spread(b) - spread(a),
  };
  const spread = row => Math.max(...row.errors) - Math.min(...row.errors);
  const text = row => row.text ??= [
    row.id, row.facts, ...row.systems.flatMap(pairs => [
      pairs.map(p => typeof p === "string" ? p : p[0]).filter(Boolean).join(data.join),
      pairs.map(p => typeof p === "string" ? p : p[1]).filter(Boolean).join(data.join),
    ]),
  ].join("\n").toLowerCase();

  const make = (tag, className, content) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (content !== undefined) element.textContent = content;
    return element;
  };
  const named = (tag, className, name, content) => {  // the name is for those who hear the page
    const element = make(tag, className);
    element.append(make("span", "aside", name), content);
    return element;
  };
  const unit = pair => {
    const outer = make("span", "pair");
    if (typeof pair === "string") outer.textContent = pair;
    else if (pair[1] === null) outer.append(named("del", "", "not heard: ", pair[0]));
    else if (pair[0] === null) outer.append(named("ins", "", "not said: ", pair[1]));
    else outer.append(named("span", "said", "said: ", pair[0]), " ", named("mark", "", "heard: ", pair[1]));
    return outer;
  };
  const sound = (id, mp3, picture, seconds, words) => {
    const figure = make("figure");
    const player = make("audio");
    Object.assign(player, { controls: true, preload: "none", src: "data:audio/mpeg;base64," + mp3 });
    player.setAttribute("aria-label", "Sound of " + id);
    const frame = make("div", "seen");
    const image = make("img");
    Object.assign(image, { alt: "Spectrogram, 0 to 8 kHz, with the words where they were heard",
      src: "data:image/png;base64," + picture });
    frame.append(image);
    for (const [text, start, end, confidence] of words) {
      const word = make("span", "timed", text);
      word.style.left = 100 * start / seconds + "%";
      word.style.width = Math.max(0, 100 * (Math.min(end, seconds) - start) / seconds) + "%";
      word.title = `${start.toFixed(2)} to ${end.toFixed(2)} s` +
        (confidence === null ? "" : `, ${Math.round(100 * confidence)} % sure`);
      if (confidence !== null && confidence < 0.5) word.classList.add("unsure");
      frame.append(word);
    }
    const cursor = make("i", "cursor");
    frame.append(cursor);
    player.addEventListener("timeupdate", () => { cursor.style.left = 100 * player.currentTime / seconds + "%"; });
    frame.addEventListener("click", event => {
      player.currentTime = seconds * event.offsetX / frame.clientWidth;
      player.play();
    });
    figure.append(player, frame);
    return figure;
  };
  const article = row => {
    const outer = make("article", "utterance");
    const head = make("h3", "", row.id + " ");
    head.append(make("small", "", row.facts));
    outer.append(head);
    if (data.sounds[row.number]) outer.append(sound(row.id, ...data.sounds[row.number]));
    row.systems.forEach((pairs, i) => {
      if (data.systems.length > 1) outer.append(make("p", "system", data.systems[i] + ": " + row.errors[i]));
      const line = make("p", "aligned");
      if (data.language) line.lang = data.language;
      line.dir = data.direction;
      for (const pair of pairs) line.append(unit(pair), " ");
      outer.append(line);
    });
    return outer;
  };

  let chosen = null, what = "", page = 0, shown = rows;
  const draw = () => {
    const last = Math.max(0, Math.ceil(shown.length / size) - 1);
    page = Math.min(page, last);
    list.replaceChildren(...shown.slice(page * size, (page + 1) * size).map(article));
    form.elements.count.textContent =
      `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} utterances` +
      (chosen ? ` (${what})` : "") + (last ? `, page ${page + 1} of ${last + 1}` : "");
    pages.hidden = last === 0;
    pages.querySelector("[name=previous]").disabled = page === 0;
    pages.querySelector("[name=next]").disabled = page === last;
    form.elements.all.hidden = !chosen && !form.elements.search.value;
  };
  const choose = () => {
    const wanted = form.elements.search.value.toLowerCase().trim();
    shown = rows.filter(row => (!chosen || chosen.has(row.number)) && (!wanted || text(row).includes(wanted)));
    shown.sort(orders[form.elements.sort.value]);
    page = 0;
    draw();
  };
  const jump = () => document.getElementById("h-utterances").focus();  // which scrolls there too

  form.addEventListener("submit", event => event.preventDefault());
  form.elements.search.addEventListener("input", choose);
  form.elements.sort.addEventListener("change", choose);
  form.elements.all.addEventListener("click", () => {
    chosen = null;
    form.elements.search.value = "";
    choose();
    form.elements.search.focus();
  });
  for (const [name, step] of [["previous", -1], ["next", 1]])
    pages.querySelector(`[name=${name}]`).addEventListener("click", () => { page += step; draw(); jump(); });
  for (const button of document.querySelectorAll(".where")) {
    button.disabled = false;
    button.addEventListener("click", () => {
      chosen = new Set(button.dataset.utterances.split(" ").map(Number));
      what = button.dataset.what;
      form.elements.search.value = "";
      choose();
      jump();
    });
  }
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      form.elements.sort.value = button.dataset.sort;
      form.elements.all.click();
      jump();
    });
  }
  more.hidden = true;
  form.hidden = false;
  choose();
})();
