// Send requests to the server, and show answers and errors.

// Return the response; throw an Error with the server's message if it is not a success.
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  if (!response.ok) throw new Error((await response.text()) || `The server answered ${response.status}.`);
  return response;
}

// Post a value as JSON; return the HTML of the answer.
export async function post(path, value, options = {}) {
  const headers = { "Content-Type": "application/json" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(value), ...options })).text();
}

// Return the element of an error message, with advice on what to do next.
export function notice(message, advice = "") {
  const element = document.createElement("div");
  element.className = "notice notice-alarm";
  element.setAttribute("role", "alert");
  const text = document.createElement("strong");
  text.textContent = advice && !message.endsWith(".") ? `${message}.` : message;
  const next = document.createElement("span");
  next.textContent = advice;
  element.append(text, " ", next);
  return element;
}

// Show the HTML that a promise resolves to; the server has escaped all text in it.
export async function show(element, promise) {
  element.setAttribute("aria-busy", "true");
  try {
    element.innerHTML = await promise;
  } catch (error) {
    if (error.name === "AbortError") return false; // a later request shows its answer
    element.replaceChildren(notice(error.message));
  }
  element.removeAttribute("aria-busy");
  return true;
}
