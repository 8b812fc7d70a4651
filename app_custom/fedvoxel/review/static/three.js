// The 3-D view: the whole scan with a label map, drawn by NiiVue where it is installed.

import { getJson } from "./api.js";

const asked = new URLSearchParams(location.search);
const base = `/api/cases/${encodeURIComponent(asked.get("case") ?? "")}`;
const byId = (id) => document.getElementById(id);

function colourMap(structures) {
  const all = [{ label: "", colour: [0, 0, 0] }, ...structures];
  const channel = (which) => all.map((one) => one.colour[which]);
  return { R: channel(0), G: channel(1), B: channel(2), A: all.map((_, code) => (code ? 255 : 0)), I: all.map((_, code) => code), labels: all.map((one) => one.label) };
}

async function open() {
  byId("name").textContent = asked.get("case") ?? "";
  if (!window.niivue) throw new Error("The 3-D viewer is not installed: run fedvoxel review setup, and load this page again.");
  const { structures } = await getJson(`${base}/structures`);
  const viewer = new window.niivue.Niivue({
    isRadiologicalConvention: true, sagittalNoseLeft: true, dragAndDropEnabled: false, logLevel: "error",
    backColor: [0, 0, 0, 1], crosshairWidth: 0.25, crosshairColor: [0.5, 0.8, 1, 0.7], show3Dcrosshair: false, isOrientCube: true,
  });
  await viewer.attachToCanvas(byId("canvas"));
  viewer.setSliceType(viewer.sliceTypeRender);
  await viewer.loadVolumes([
    { url: `${base}/volume/image.nii`, name: "image.nii", colormap: "gray", opacity: 0.3 },
    { url: `${base}/volume/${encodeURIComponent(asked.get("label") ?? "")}.nii`, name: "label.nii", opacity: 1 },
  ]);
  viewer.volumes[1].setColormapLabel(colourMap(structures));
  viewer.updateGLVolume();
  connect(viewer);
  byId("state").textContent = "";
  document.body.dataset.ready = "yes";
}

function connect(viewer) {
  for (const [volume, id] of ["scan", "label"].entries()) {
    let waiting; // each change blends all volumes anew
    byId(id).addEventListener("input", (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => viewer.setOpacity(volume, event.target.valueAsNumber / 100), 80);
    });
  }
  const views = { render: viewer.sliceTypeRender, planes: viewer.sliceTypeMultiplanar };
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      viewer.setSliceType(views[button.dataset.view]);
      for (const other of document.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
    });
  }
  const turns = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
  byId("canvas").addEventListener("keydown", (event) => {
    const turn = turns[event.key];
    if (!turn) return;
    event.preventDefault();
    viewer.setRenderAzimuthElevation(viewer.scene.renderAzimuth + turn[0], viewer.scene.renderElevation + turn[1]);
  });
}

open().catch((error) => {
  byId("state").className = "message";
  byId("state").textContent = error.message;
});
