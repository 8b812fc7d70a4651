// Says whether this browser draws WebGL with hardware: in software a volume takes minutes, and 3-D is not offered.

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render|mesa offscreen/i;

export function hardwareOfWebgl() {
  const pen = document.createElement("canvas").getContext("webgl2");
  if (!pen) return { ok: false, why: "this browser has no WebGL 2" };
  const extension = pen.getExtension("WEBGL_debug_renderer_info");
  const renderer = String(pen.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : pen.RENDERER));
  pen.getExtension("WEBGL_lose_context")?.loseContext();
  return SOFTWARE.test(renderer) ? { ok: false, why: "this browser draws WebGL in software, which takes minutes" } : { ok: true, why: "" };
}

export function offerThreeDimensions(facts, layer) {
  const byId = (id) => document.getElementById(id);
  const hardware = facts.viewer ? hardwareOfWebgl() : { ok: false, why: "the viewer is not installed (fedvoxel review setup)" };
  const open = () => window.open(`/three?case=${encodeURIComponent(facts.case)}&label=${encodeURIComponent(layer())}`, "_blank", "noopener");
  byId("three").textContent = hardware.ok ? "3-D" : "3-D off";
  byId("three-why").textContent = `The three planes need nothing more. 3-D is not offered because ${hardware.why}.`;
  byId("three-anyway").hidden = !facts.viewer;
  byId("three").addEventListener("click", () => (hardware.ok ? open() : byId("three-off").showModal()));
  byId("three-anyway").addEventListener("click", open);
  byId("three-close").addEventListener("click", () => byId("three-off").close());
}
