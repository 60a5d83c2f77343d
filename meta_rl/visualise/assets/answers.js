"use strict";
// Examples of few-shot episodes: what was answered after the adaptation step that the slider stands at.
document.querySelectorAll(".answers").forEach((place) => {
  const slider = place.querySelector("input"), names = place.dataset.names.split("|"), called = place.querySelector(".step");
  const show = () => {
    const step = Number(slider.value);
    called.textContent = names[step];
    slider.setAttribute("aria-valuetext", names[step]);
    place.querySelectorAll("[data-step]").forEach((line) => line.toggleAttribute("hidden", Number(line.dataset.step) !== step));
    place.querySelectorAll("[data-answers]").forEach((cell) => {
      const answer = cell.dataset.answers.split("|")[step];
      cell.textContent = answer;
      if (!cell.dataset.truth) return;
      cell.classList.toggle("right", answer === cell.dataset.truth);
      cell.classList.toggle("wrong", answer !== cell.dataset.truth);
    });
  };
  slider.addEventListener("input", show);
  show();
});
