use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::http1::fields::Fields;
use crate::s3::Query;
use crate::s3::operation::Effect;
use crate::s3::target::Naming;

fn operation(line: &str) -> Operation {
    let mut words = line.split_whitespace();
    let method: Method = words.next().unwrap().parse().unwrap();
    let (path, query) = words.next().map(|uri| uri.split_once('?').unwrap_or((uri, ""))).unwrap();
    let mut headers = Fields::new();
    for header in words {
        let (name, value) = header.split_once(':').unwrap();
        headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let head =
        RequestHead { method: &method, path, query: &Query::parse(query), headers: &headers };
    classify(head, &Target::parse(head, &Naming::default()).unwrap())
}

#[test]
fn every_operation_is_known_by_what_aws_documents() {
    use Operation as Op;
    for (line, expected) in [
        ("GET /", Op::ListBuckets),
        ("GET /?x-id=ListBuckets&max-buckets=3", Op::ListBuckets),
        ("HEAD /", Op::BucketRead),
        ("GET /buck", Op::ListObjects),
        ("GET /buck?prefix=a&delimiter=/", Op::ListObjects),
        ("GET /buck/?list-type=2&prefix=a", Op::ListObjectsV2),
        ("GET /buck?versions&prefix=", Op::ListObjectVersions),
        ("GET /buck?uploads", Op::ListMultipartUploads),
        ("GET /buck?location", Op::GetBucketLocation),
        ("GET /buck?session", Op::CreateSession),
        ("GET /buck?policyStatus", Op::BucketRead),
        ("GET /buck?inventory&id=1", Op::BucketRead),
        ("HEAD /buck", Op::HeadBucket),
        ("PUT /buck", Op::CreateBucket),
        ("PUT /buck?versioning", Op::BucketWrite),
        ("PUT /buck?metrics&id=1", Op::BucketWrite),
        ("DELETE /buck", Op::DeleteBucket),
        ("DELETE /buck?lifecycle=", Op::ConfigureBucket("lifecycle")),
        ("POST /buck?delete", Op::DeleteObjects),
        ("POST /buck/?delete=&x-id=DeleteObjects", Op::DeleteObjects),
        ("POST /buck content-type:multipart/form-data;boundary=x", Op::PostObject),
        ("POST /buck?metadataTable", Op::ConfigureBucket("metadataTable")),
        ("PUT /buck x-amz-acl:private", Op::CreateBucket),
        ("PUT /buck x-amz-acl:public-read-write", Op::ConfigureBucket("acl")),
        ("PUT /buck x-amz-grant-write:id=1", Op::ConfigureBucket("acl")),
        ("OPTIONS /buck/key", Op::Preflight),
        ("GET /buck/key", Op::GetObject),
        ("GET /buck/key?versionId=1&partNumber=2&response-expires=x", Op::GetObject),
        ("GET /buck/key?acl", Op::GetObjectAcl),
        ("GET /buck/key?annotation&annotationName=a", Op::GetObjectAnnotation),
        ("GET /buck/key?attributes&versionId=2", Op::GetObjectAttributes),
        ("GET /buck/key?legal-hold", Op::GetObjectLegalHold),
        ("GET /buck/key?retention", Op::GetObjectRetention),
        ("GET /buck/key?tagging", Op::GetObjectTagging),
        ("GET /buck/key?torrent", Op::GetObjectTorrent),
        ("GET /buck/key?uploadId=u&max-parts=1", Op::ListParts),
        ("HEAD /buck/key?versionId=1", Op::HeadObject),
        ("PUT /buck/key", Op::PutObject),
        ("PUT /buck/key?x-id=PutObject", Op::PutObject),
        ("PUT /buck/key?X-Amz-Algorithm=a&X-Amz-Signature=b&x-amz-acl=c", Op::PutObject),
        ("PUT /buck/key?AWSAccessKeyId=a&Signature=b&Expires=1", Op::PutObject),
        ("PUT /buck/key x-amz-copy-source:/a/b", Op::CopyObject),
        ("PUT /buck/key x-amz-write-offset-bytes:3", Op::AppendObject),
        ("PUT /buck/key?append&position=0", Op::AppendObject),
        ("PUT /buck/key?partNumber=1&uploadId=u", Op::UploadPart),
        ("PUT /buck/key?upload%49d=u&partNumber=1", Op::UploadPart),
        ("PUT /buck/key?partNumber=1&uploadId=u x-amz-copy-source:/a/b", Op::UploadPartCopy),
        ("PUT /buck/key?acl", Op::PutObjectAcl),
        ("PUT /buck/key?tagging&versionId=1", Op::PutObjectTagging),
        ("PUT /buck/key?legal-hold", Op::PutObjectLegalHold),
        ("PUT /buck/key?retention", Op::PutObjectRetention),
        ("PUT /buck/key?encryption", Op::UpdateObjectEncryption),
        ("PUT /buck/key?annotation&annotationName=a", Op::PutObjectAnnotation),
        ("PUT /buck/key?renameObject x-amz-rename-source:/a", Op::RenameObject),
        ("DELETE /buck/key", Op::DeleteObject),
        ("DELETE /buck/key?x-id=DeleteObject", Op::DeleteObject),
        ("DELETE /buck/key?versionId=1", Op::DeleteObjectVersion),
        ("DELETE /buck/key?versionId=", Op::DeleteObjectVersion),
        ("DELETE /buck/key?uploadId=u", Op::AbortMultipartUpload),
        ("DELETE /buck/key?tagging", Op::DeleteObjectTagging),
        ("DELETE /buck/key?annotation&annotationName=a", Op::DeleteObjectAnnotation),
        ("POST /buck/key?uploads", Op::CreateMultipartUpload),
        ("POST /buck/key?uploadId=u", Op::CompleteMultipartUpload),
        ("POST /buck/key?restore&versionId=1", Op::RestoreObject),
        ("POST /buck/key?select&select-type=2", Op::SelectObjectContent),
    ] {
        assert_eq!(operation(line), expected, "{line}");
    }
}

#[test]
fn a_write_that_a_store_could_read_in_another_way_is_unknown() {
    for line in [
        "PUT /buck/key?foo",
        "PUT /buck/key?Tagging",
        "PUT /buck/key?%zz",
        "PUT /buck/key?tagging&acl",
        "PUT /buck/key?tagging&tagging",
        "PUT /buck/key?uploadId=u",
        "PUT /buck/key?partNumber=1",
        "PUT /buck/key?uploadId=&partNumber=1",
        "PUT /buck/key?uploadId=u&partNumber=",
        "PUT /buck/key?uploadId=u&partNumber=1&append&position=0",
        "PUT /buck/key?uploadId=u&partNumber=1&foo",
        "PUT /buck/key?versionId=1",
        "PUT /buck/key?uploadId=u&partNumber=&partNumber=1",
        "DELETE /buck/key?versionId=1&versionId=2",
        "PUT /buck/key?x-amz-copy-source=/a/b",
        "PUT /buck/key?X-Amz-Write-Offset-Bytes=1",
        "PUT /buck/key x-amz-copy-source:/a x-amz-write-offset-bytes:1",
        "PUT /buck/key?tagging x-amz-copy-source:/a/b",
        "PUT /buck/key?acl x-amz-write-offset-bytes:1",
        "PUT /buck/key?uploadId=u&partNumber=1 x-amz-write-offset-bytes:1",
        "DELETE /buck/key?uploadId=u x-amz-copy-source:/a/b",
        "POST /buck/key?uploads x-amz-copy-source:/a/b",
        "PUT /buck/key?uploads",
        "DELETE /buck/key?uploadId=",
        "DELETE /buck/key?foo",
        "DELETE /buck/key?acl",
        "DELETE /buck/key?tagging&uploadId=u",
        "POST /buck/key",
        "POST /buck/key?uploadId=",
        "POST /buck/key?uploads&uploadId=u",
        "POST /buck/key content-type:multipart/form-data;boundary=x",
        "PATCH /buck/key",
        "put /buck/key",
    ] {
        assert_eq!(operation(line), Operation::UnknownWrite, "{line}");
    }
    for line in [
        "POST /",
        "PUT /",
        "POST /buck",
        "POST /buck?foo content-type:multipart/form-data;boundary=x",
        "POST /buck?delete&foo",
        "PUT /buck?replication-reset",
        "DELETE /buck?foo",
        "PATCH /buck",
        "GET /?Action=CreateUser&UserName=a",
        "POST /buck content-type:multipart/mixed;boundary=x",
        "POST /buck?metadataTable&key=k",
    ] {
        assert_eq!(operation(line), Operation::UnknownBucketWrite, "{line}");
    }
}

proptest! {
    #[test]
    fn only_safe_methods_of_objects_are_reads_whatever_the_query(
        method in "(GET|HEAD|PUT|POST|DELETE|PATCH)",
        query in "[a-zA-Z%&=+-]{0,30}",
    ) {
        let found = operation(&format!("{method} /buck/key?{query}"));
        let safe = matches!(method.as_str(), "GET" | "HEAD");
        prop_assert_eq!(found.effect() == Effect::Read, safe);
    }
}
