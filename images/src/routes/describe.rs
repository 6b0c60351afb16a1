//! The two operations in the service's description of itself (`openapi.json`).

use super::SHA256_HEADER;
use cirro_models::{Model, images::MachineImage};
use cirro_server::http::openapi::{header, json, operation, path_id, reference, row};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, KnownFormat, ObjectBuilder, OpenApi, PathItem, Required, Response, ResponseBuilder,
    SchemaFormat, request_body::RequestBodyBuilder, schema::Type,
};

/// Adds them.
pub(crate) fn describe(document: &mut OpenApi) {
    let upload = operation(
        "put_machineimage_bytes".to_owned(),
        MachineImage::PATH,
        "Upload the bytes of a machineimage".to_owned(),
    )
    .description(Some(
        "Streams the file as it is. The image must be awaiting; it is ready afterwards. A refused or broken upload \
             leaves nothing behind and can be repeated.",
    ))
    .parameter(path_id::<MachineImage>())
    .parameter(header(SHA256_HEADER, "The sha256 of the bytes, 64 hexadecimal digits; they are checked against it"))
    .request_body(Some(
        RequestBodyBuilder::new().content("application/octet-stream", binary()).required(Some(Required::True)).build(),
    ))
    .response("200", row::<MachineImage>("The image, ready"))
    .build();
    let download = operation(
        "get_machineimage_bytes".to_owned(),
        MachineImage::PATH,
        "Download the bytes of a machineimage".to_owned(),
    )
    .parameter(path_id::<MachineImage>())
    .parameter(header("range", "One range of bytes (RFC 9110 §14), such as `bytes=0-1023`"))
    .parameter(header("if-range", "The ETag that the range must belong to"))
    .parameter(header("if-none-match", "The ETag that is there already"))
    .response("200", file("The bytes"))
    .response("206", file("The range of the bytes"))
    .response("304", ResponseBuilder::new().description("Not changed"))
    .response(
        "416",
        ResponseBuilder::new()
            .description("The range is not there")
            .content(cirro_models::problem::PROBLEM_JSON, json(reference("Problem"))),
    )
    .build();
    let mut item = PathItem::new(HttpMethod::Put, upload);
    item.get = Some(download);
    document.paths.paths.insert("/images/v1/machineimage/{id}/bytes".to_owned(), item);
}

fn binary() -> utoipa::openapi::Content {
    let bytes =
        ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    ContentBuilder::new().schema(Some(bytes)).build()
}

fn file(description: &str) -> Response {
    ResponseBuilder::new().description(description).content("application/octet-stream", binary()).build()
}
