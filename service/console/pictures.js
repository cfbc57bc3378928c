// The pictures, from the user's own files, with the faces that the service found.

import { drawn, element } from "./elements.js";

const CORNERS = ["image-left eye", "image-right eye", "nose tip", "image-left mouth corner", "image-right mouth corner"];

function overlay(sample, width, height) {
  const [left = 0, , right = width] = sample.box || [];
  const shapes = [];
  if (sample.box) {
    const [x1, y1, x2, y2] = sample.box;
    shapes.push(drawn("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }));
  }
  (sample.landmarks || []).forEach(([x, y], place) =>
    shapes.push(drawn("circle", { cx: x, cy: y, r: (right - left) / 40 }, drawn("title", {}, CORNERS[place]))),
  );
  return drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, shapes);
}

const missing = (name) => element("p", { class: "missing" }, `${name} cannot be shown by this browser`);

async function showPicture(frame, file, sample, address) {
  const image = element("img", { src: address, alt: "" });
  try {
    await image.decode();
  } catch {
    frame.replaceChildren(missing(file.name));
    return;
  }
  frame.replaceChildren(image, overlay(sample, image.naturalWidth, image.naturalHeight));
}

async function showMoment(frame, file, sample, address) {
  const video = element("video", { src: address, muted: true, preload: "auto" });
  const happens = (event) =>
    new Promise((resolve, reject) => {
      video.addEventListener(event, resolve, { once: true });
      video.addEventListener("error", reject, { once: true });
    });
  try {
    await happens("loadedmetadata");
    const sought = happens("seeked");
    video.currentTime = Math.max(0.001, sample.seconds || 0);
    await sought;
  } catch {
    frame.replaceChildren(missing(file.name));
    return;
  }
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  frame.replaceChildren(canvas, overlay(sample, video.videoWidth, video.videoHeight));
}

export function frameOf(file, sample) {
  const frame = element("div", { class: "frame" });
  const address = URL.createObjectURL(file);
  const shown = file.type.startsWith("video/") ? showMoment : showPicture;
  shown(frame, file, sample, address).finally(() => URL.revokeObjectURL(address));
  return frame;
}
