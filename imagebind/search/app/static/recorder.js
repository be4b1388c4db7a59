// Record audio with the microphone, and images and videos with the camera.

// Connect the buttons in `element`. `add` receives each recording as a list of one file; `fail` receives an error.
export function connectRecorder(element, add, fail) {
  const preview = element.querySelector("video");
  const button = (name) => element.querySelector(`[data-record="${name}"]`);
  let camera = null;

  function showCamera(stream) {
    camera = stream;
    preview.srcObject = stream;
    preview.hidden = button("image").hidden = button("video").hidden = !stream;
    button("camera").textContent = stream ? "Close camera" : "Open camera";
    return stream && preview.play();
  }

  async function toggleCamera() {
    stop(camera); // also ends a recording, which is then added
    await showCamera(camera ? null : await openCamera());
  }

  const handlers = {
    audio: recordings(button("audio"), "audio", () => open({ audio: true }), stop),
    camera: toggleCamera,
    image: async () => add(await snapshot(preview)),
    video: recordings(button("video"), "video", () => camera, () => {}),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    button(name).addEventListener("click", () => handler(add).catch(fail));
  }
}

// Return a handler that starts a recording at the first click and ends it at the second one.
function recordings(button, name, openStream, closeStream) {
  let recorder = null;
  return async (add) => {
    if (recorder) {
      recorder.stop();
      return;
    }
    const stream = await openStream();
    const parts = [];
    recorder = new MediaRecorder(stream);
    button.textContent = `Stop ${name}`;
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", () => {
      const type = recorder.mimeType;
      const suffix = /\/(\w+)/.exec(type)?.[1] ?? "webm";
      recorder = null;
      button.textContent = `Record ${name}`;
      closeStream(stream);
      add([new File(parts, `${name}.${suffix}`, { type })]);
    });
    recorder.start();
  };
}

async function snapshot(preview) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [preview.videoWidth, preview.videoHeight];
  canvas.getContext("2d").drawImage(preview, 0, 0);
  const image = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return [new File([image], "image.png", { type: image.type })];
}

// Open the camera, with the microphone if it is allowed.
async function openCamera() {
  return open({ video: true, audio: true }).catch(() => open({ video: true }));
}

async function open(constraints) {
  if (!navigator.mediaDevices) throw new Error("Recording needs https, or a page on this machine.");
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
    throw new Error(constraints.video ? "No camera was found." : "No microphone was found.");
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
