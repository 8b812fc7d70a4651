// Traces the outline of a structure on a slice: lines midway between voxels inside and outside, closed.
// Source: Lorensen and Cline 1987 (marching squares, the plane form of marching cubes); saddles are kept apart.

// For each pattern of the corners (top left 8, top right 4, bottom right 2, bottom left 1): from one side of the
// square to another, with the inside on the right hand.
const TURNS = [
  "", "LB", "BR", "LR", "RT", "RT LB", "BT", "LT", "TL", "TB", "TL BR", "TR", "RL", "RB", "BL", "",
].map((turns) => turns.split(" ").filter(Boolean));
const SIDES = { T: [2, 1], R: [3, 2], B: [2, 3], L: [1, 2] }; // in half voxels from the top left voxel's corner

function boxOf(label, rows, columns, code) {
  let top = rows, left = columns, bottom = -1, right = -1;
  for (let row = 0, at = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, at += 1) {
      if (label[at] !== code) continue;
      if (row < top) top = row;
      bottom = row;
      if (column < left) left = column;
      if (column > right) right = column;
    }
  }
  return bottom < 0 ? null : { top, left, bottom, right };
}

function steps(label, rows, columns, code, box) {
  const inside = (row, column) =>
    row >= 0 && column >= 0 && row < rows && column < columns && label[row * columns + column] === code ? 1 : 0;
  const width = 2 * columns + 4;
  const key = (column, row, side) => (2 * row + 2 + SIDES[side][1]) * width + 2 * column + 2 + SIDES[side][0];
  const next = new Map();
  for (let row = box.top - 1; row <= box.bottom; row += 1) {
    for (let column = box.left - 1; column <= box.right; column += 1) {
      const pattern = 8 * inside(row, column) + 4 * inside(row, column + 1) + 2 * inside(row + 1, column + 1) + inside(row + 1, column);
      for (const [from, to] of TURNS[pattern]) next.set(key(column, row, from), key(column, row, to));
    }
  }
  return { next, place: (at) => [(at % width) / 2 - 1, Math.floor(at / width) / 2 - 1] };
}

// Returns a Path2D in voxels from the slice's top left corner, or null where the structure is not on the slice.
export function outlineOf(label, rows, columns, code) {
  const box = boxOf(label, rows, columns, code);
  if (!box) return null;
  const { next, place } = steps(label, rows, columns, code, box);
  const path = new Path2D();
  while (next.size) {
    const first = next.keys().next().value;
    path.moveTo(...place(first));
    let at = next.get(first);
    next.delete(first);
    while (at !== first && at !== undefined) {
      path.lineTo(...place(at));
      const following = next.get(at);
      next.delete(at);
      at = following;
    }
    path.closePath();
  }
  return path;
}
