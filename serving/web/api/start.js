// Starts Swagger UI on the page of the API's description (serving/description.py).
const place = document.getElementById("api");

window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.description,
  deepLinking: true,
  displayRequestDuration: true,
  // Both would ask another host.
  validatorUrl: null,
  queryConfigEnabled: false,
});
