// Fetches slices and keeps the last few hundred, so that leafing back and forth asks the server once.

import { getBlob, getBytes } from "./api.js";
import { outlineOf } from "./outline.js";

const MOST_KEPT = 600;

export class Slices {
  constructor(caseName) {
    this.base = `/api/cases/${encodeURIComponent(caseName)}`;
    this.kept = new Map();
  }

  // A promise of the slice's picture at a window of { low, high }.
  image(plane, index, window) {
    const path = `${this.base}/image/${plane}/${index}.png?low=${window.low}&high=${window.high}`;
    return this.once(path, async () => createImageBitmap(await getBlob(path)));
  }

  heat(plane, index) {
    const path = `${this.base}/uncertainty/${plane}/${index}.png`;
    return this.once(path, async () => createImageBitmap(await getBlob(path)));
  }

  // A promise of { codes, outline(code) }: the codes of a label map by rows, and outlines that are traced when asked for.
  label(name, plane, index, revision) {
    const path = `${this.base}/label/${encodeURIComponent(name)}/${plane.name}/${index}`;
    return this.once(`${path}#${revision}`, async () => {
      const codes = await getBytes(path);
      const outlines = new Map();
      const outline = (code) => {
        if (!outlines.has(code)) outlines.set(code, outlineOf(codes, plane.rows, plane.columns, code));
        return outlines.get(code);
      };
      return { codes, outline };
    });
  }

  once(key, make) {
    if (!this.kept.has(key)) {
      const promise = make();
      promise.catch(() => this.kept.delete(key));
      this.kept.set(key, promise);
      if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(key);
  }
}
