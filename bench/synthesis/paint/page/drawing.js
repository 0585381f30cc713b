// A label map in the hand: ids, brush, fill, and what was before. Knows nothing of the page or the server.

const KEPT = 80;

export class LabelMap {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.ids = new Uint16Array(width * height);
    this.past = [];
    this.future = [];
  }

  at(x, y) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? this.ids[row * this.width + column] : null;
  }

  // Remember the map as it is, before a change that one undo takes back.
  remember() {
    this.past.push(this.ids.slice());
    if (this.past.length > KEPT) this.past.shift();
    this.future = [];
  }

  // Forget the last remembered map where nothing has changed since.
  forgetIfSame() {
    const last = this.past.at(-1);
    if (last && last.every((id, place) => id === this.ids[place])) this.past.pop();
  }

  undo() { return this.#swap(this.past, this.future); }

  redo() { return this.#swap(this.future, this.past); }

  #swap(from, to) {
    if (!from.length) return false;
    to.push(this.ids);
    this.ids = from.pop();
    return true;
  }

  replace(ids) {
    this.remember();
    this.ids = ids.slice();
    this.forgetIfSame();
  }

  // A disc of so many pixels across, around a point between the pixels' corners.
  stamp(x, y, across, id) {
    const radius = across / 2;
    for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(this.height - 1, Math.floor(y + radius)); row++) {
      for (let column = Math.max(0, Math.floor(x - radius)); column <= Math.min(this.width - 1, Math.floor(x + radius)); column++) {
        const near = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2;
        const under = column === Math.floor(x) && row === Math.floor(y);
        if (near || under) this.ids[row * this.width + column] = id;
      }
    }
  }

  line(fromX, fromY, toX, toY, across, id) {
    const steps = Math.max(1, Math.ceil(Math.hypot(toX - fromX, toY - fromY) * 2));
    for (let step = 0; step <= steps; step++) {
      const share = step / steps;
      this.stamp(fromX + (toX - fromX) * share, fromY + (toY - fromY) * share, across, id);
    }
  }

  // The region of one label around a pixel, 4-connected.
  fill(x, y, id) {
    const old = this.at(x, y);
    if (old === null || old === id) return;
    const todo = [Math.floor(y) * this.width + Math.floor(x)];
    while (todo.length) {
      const place = todo.pop();
      if (this.ids[place] !== old) continue;
      this.ids[place] = id;
      const column = place % this.width;
      if (column > 0) todo.push(place - 1);
      if (column < this.width - 1) todo.push(place + 1);
      if (place >= this.width) todo.push(place - this.width);
      if (place < this.ids.length - this.width) todo.push(place + this.width);
    }
  }

  // Pixels of each id.
  counts(ids) {
    const found = new Uint32Array(ids);
    for (const id of this.ids) found[id]++;
    return found;
  }

  // The map in colours, [r, g, b] by id.
  picture(colours) {
    const image = new ImageData(this.width, this.height);
    for (let place = 0; place < this.ids.length; place++) {
      image.data.set(colours[this.ids[place]], 4 * place);
      image.data[4 * place + 3] = 255;
    }
    return image;
  }
}
